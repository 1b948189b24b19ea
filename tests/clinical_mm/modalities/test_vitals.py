"""vitals: a token a vital and one of the whole row; missing is told apart from zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import skew

from clinical_mm.case import Case, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import InvalidConfig, UnknownCode
from clinical_mm.modalities.vitals import AGE, Vitals


def case(age: float | None = 60, **vitals: float) -> Case:
    return Case(Patient("p", "F", age), note="x", vitals=vitals)


@pytest.fixture
def vitals(catalogue: Catalogue) -> Vitals:
    made = Vitals({"width": 8, "names": ["spo2", "heart_rate", "crp"]}, catalogue)
    made.fit([case(spo2=s, heart_rate=h) for s, h in ((90, 60), (94, 80), (96, 100), (98, 120))])
    return made


def test_values_are_robust_z_scores_of_the_training_part(vitals: Vitals) -> None:
    assert vitals.state()["spo2"]["center"] == 95
    sample = vitals.read(case(spo2=95, heart_rate=90))
    assert sample is not None
    assert sample["values"][:2].tolist() == [0, 0]


def test_an_outlier_does_not_move_the_scale_much(catalogue: Catalogue) -> None:
    usual = [case(spo2=float(v)) for v in range(90, 99)]
    made, spoiled = (Vitals({"names": ["spo2"]}, catalogue) for _ in range(2))
    made.fit(usual)
    spoiled.fit([*usual, case(spo2=20)])
    assert spoiled.state()["spo2"]["scale"] < 2 * made.state()["spo2"]["scale"]


def test_missing_is_told_apart_from_the_median(vitals: Vitals) -> None:
    missing, median = vitals.read(case(heart_rate=90)), vitals.read(case(heart_rate=90, spo2=95))
    assert missing is not None
    assert median is not None
    assert missing["values"][0] == median["values"][0] == 0
    assert (bool(missing["present"][0]), bool(median["present"][0])) == (False, True)


def test_a_missing_vital_has_a_masked_token(vitals: Vitals) -> None:
    encoder = vitals.encoder().eval()
    tokens = encoder(vitals.collate([vitals.read(case(heart_rate=90))]))
    assert tokens.mask_BN[0].tolist() == [False, True, False, True, True, True]
    assert tokens.tokens_BND.shape == (1, 6, 8)


def test_evidence_adds_up_in_the_last_token_and_what_is_missing_adds_its_own(vitals: Vitals) -> None:
    encoder = vitals.encoder().eval()

    def row(**values: float) -> torch.Tensor:
        return encoder(vitals.collate([vitals.read(case(**values))])).tokens_BND[0, -1]

    both, neither = row(spo2=88, heart_rate=110, crp=3), row(spo2=95, heart_rate=90, crp=3)
    one, other = row(spo2=88, heart_rate=90, crp=3), row(spo2=95, heart_rate=110, crp=3)
    torch.testing.assert_close(both - neither, (one - neither) + (other - neither))
    with torch.no_grad():
        encoder.get_parameter("missed").fill_(1.0)
    assert not torch.allclose(row(heart_rate=90), row(heart_rate=90, spo2=95))


def test_a_skewed_value_is_brought_to_a_symmetric_scale(catalogue: Catalogue) -> None:
    made = Vitals({"names": ["crp"]}, catalogue)
    drawn = np.exp(np.random.default_rng(0).normal(2, 1.2, 400))
    made.fit([case(crp=float(value)) for value in drawn])
    z = [float(s["values"][0]) for value in drawn if (s := made.read(case(crp=float(value)))) is not None]
    assert skew(drawn) > 3
    assert abs(skew(z)) < 0.5
    assert sorted(z) == [z[i] for i in np.argsort(drawn)]
    assert np.std(z) == pytest.approx(1, abs=0.2)


def test_age_and_sex_alone_are_no_vitals(vitals: Vitals) -> None:
    assert vitals.read(Case(Patient("p", "F", 60), note="x")) is None


def test_a_vital_that_no_training_case_had_is_still_read(vitals: Vitals) -> None:
    sample = vitals.read(case(crp=4))
    assert sample is not None
    assert bool(sample["present"][2])
    assert abs(float(sample["values"][2])) <= vitals.options.clip


def test_what_was_fitted_survives_the_bundle(vitals: Vitals, catalogue: Catalogue) -> None:
    again = Vitals({"width": 8, "names": ["spo2", "heart_rate", "crp"]}, catalogue)
    again.load_state(vitals.state())
    one, other = vitals.read(case(spo2=88)), again.read(case(spo2=88))
    assert one is not None
    assert other is not None
    assert one["values"].tolist() == other["values"].tolist()


def test_dropping_vitals_in_training_never_drops_all(vitals: Vitals) -> None:
    encoder = vitals.encoder().train()
    batch = vitals.collate([vitals.read(case(age=None, spo2=88))] * 64)
    torch.manual_seed(0)
    assert bool(encoder(batch).mask_BN[:, :-1].any(1).all())


def test_evidence_names_value_and_unit_strongest_first(vitals: Vitals) -> None:
    patient = case(spo2=88, crp=120)
    batch = vitals.collate([vitals.read(patient)])
    shares = torch.tensor([[0.2, 0.0, -0.9, 0.1, 0.0]])
    found = vitals.evidence(patient, batch, shares).vitals
    assert [(v.name, v.value, v.unit) for v in found][:3] == [("crp", 120, "mg/L"), ("spo2", 88, "%"), (AGE, 60, "a")]
    assert found[0].attribution == pytest.approx(-0.9)


def test_a_vital_outside_the_catalogue_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownCode, match="mood"):
        Vitals({"names": ["mood"]}, catalogue)
    with pytest.raises(InvalidConfig, match="width"):
        Vitals({"width": 1}, catalogue)
