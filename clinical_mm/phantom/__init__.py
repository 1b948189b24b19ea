"""Synthetic cases whose truth is known.

The generative model. For case i of seed s every draw comes from a generator seeded by (s, i).

    diagnoses   h ~ Bern(0.25) heart failure, p ~ Bern(0.35) pneumonia, x ~ Bern(0.12) pneumothorax,
                e ~ Bern(0.12 + 0.45 h) pleural effusion: co-occurring, effusion depends on heart failure
    image       a procedural chest (findings.py draws on chest.py) + for each present diagnosis, with probability 0.85,
                its finding at a random place of its own kind; + noise, exposure, a small rotation
    note        a heading, a sentence about the visit, for each present diagnosis with probability 0.7 one of its
                sentences, for each absent one with probability 0.3 a negated one, in random order (wording.py)
    vitals      v = mu_v + sigma_v z + sum over present diagnoses of delta_{d,v}, z ~ N(0, 1); laboratory values in
                log space (measurements.py)
    missing     image, note and vitals are each left out with probability 0.1, never all of them; each single vital
                with probability 0.25

Everything it gives is marked synthetic: the note's heading, the DICOM's InstitutionName and SeriesDescription, the
patient's name, and ``external_id``. It is a measuring instrument and a demo, never a claim about patients.
"""

from clinical_mm.phantom.draw import DIAGNOSES, PhantomCase, Truth, draw

__all__ = ["DIAGNOSES", "PhantomCase", "Truth", "draw"]
