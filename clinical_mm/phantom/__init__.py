"""Synthetic cases whose truth is known.

The generative model. For case i of seed s every draw comes from a generator seeded by (s, i).

    age, sex     age ~ N(62, 16^2) cut to 18..98, in whole years; sex even
    conditions   pneumonia, pneumothorax, heart failure, atelectasis, another infection, renal impairment:
                 c ~ Bern(sigmoid(a_c + b_c (age - 62) + m_c [male])), independent; effusion depends on them:
                 e ~ Bern(sigmoid(-2.3 + 2.3 h + 0.9 p + 0.6 k)) (model.py)
    image        findings f, noisy-or: P(f | c) = 1 - (1 - leak_f) prod over present c of (1 - w_fc); each drawn at a
                 random place, extent and contrast on a frontal film, in 30 % on a lateral one too (chest.py)
    note         symptoms t, noisy-or as well; each affirmed, told as uncertain, denied or passed over with a
                 probability that depends on t alone; words about other people (wording.py)
    vitals       correlated normals after ln or ln(100 - x), shifted by conditions, age and sex; measured with a
                 probability that depends on the conditions: not at random
                 (measurements.py)
    missing      image, note and vitals are each left out with probability 0.1, at random, never all of them

Fusion must matter: pneumonia and atelectasis draw one and the same opacity, pneumonia and another infection bring one
and the same fever; an opacity means pneumonia with fever and atelectasis without. NT-proBNP rises with a weak heart and
with weak kidneys.

``posterior(evidence, modalities)`` is what any reader of these modalities could know at best.

Everything it gives is marked synthetic: the note's heading, the DICOM's InstitutionName and SeriesDescription, the
patient's name, and ``external_id``. It is a measuring instrument and a demo, never a claim about patients.
"""

from clinical_mm.phantom.draw import PhantomCase, Truth, draw
from clinical_mm.phantom.model import DIAGNOSES, FINDINGS, SYMPTOMS
from clinical_mm.phantom.posterior import Evidence, posterior

__all__ = ["DIAGNOSES", "FINDINGS", "SYMPTOMS", "Evidence", "PhantomCase", "Truth", "draw", "posterior"]
