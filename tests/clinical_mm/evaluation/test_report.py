"""The report of a model: what it tells, and that planted faults show in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from clinical_mm.case import Case, ImageFile, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import NotEnoughData
from clinical_mm.evaluation.calibration import Calibration
from clinical_mm.evaluation.confounders import confounders
from clinical_mm.evaluation.judged import Judged
from clinical_mm.evaluation.page import report_html
from clinical_mm.evaluation.report import Report, evaluate, report_of
from clinical_mm.phantom import draw
from clinical_mm.phantom.chest import draw_film, frontal
from clinical_mm.phantom.dicom import as_dicom
from clinical_mm.pictures.acquisition import Acquisition, acquisition
from clinical_mm.predictor import Predictor

CODES = ("pneumonia", "heart-failure")


def film(site: str) -> bytes:
    pixels, _ = draw_film(np.random.default_rng(0), frontal(), ())
    return as_dicom(pixels, Patient("p"), "x", "PA", site)


FILMS = {site: film(site) for site in ("NORTH", "SOUTH")}


def judged(count: int, *, sites: Sequence[str] | None = None, wrong_for: str | None = None, seed: int = 0) -> Judged:
    """Cases of a model that is right more often than not; ``wrong_for``: a sex for which it is wrong instead."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((count, 2)) < 0.4).astype(float)
    sexes = rng.choice(["F", "M"], count)
    sites = sites or list(rng.choice(["NORTH", "SOUTH"], count))
    cases = [
        Case(
            Patient(f"p-{i}", sexes[i], float(rng.integers(20, 90))),
            vitals={"spo2": 95},
            images=(ImageFile("film.dcm", FILMS[sites[i]]),),
            diagnoses=tuple(code for code, there in zip(CODES, targets[i], strict=True) if there),
        )
        for i in range(count)
    ]
    logits = rng.normal(3 * targets - 1.8, 1.5)
    if wrong_for is not None:
        logits[sexes == wrong_for] *= -1
    quiet = rng.normal(0, 1, logits.shape)
    return Judged(
        cases=cases,
        diagnoses=CODES,
        modalities=("imaging", "vitals"),
        targets=targets,
        present=np.ones((count, 2), bool),
        calibration=Calibration("co-occurring", 1.0, (0.2, 0.2), 0.9),
        logits_with=lambda subset: quiet if subset == ("vitals",) else logits,
    )


@pytest.fixture(scope="module")
def report(predictor: Predictor) -> Report:
    return evaluate(predictor, [d.case for d in draw(60, seed=5)])


def test_it_tells_each_diagnosis_with_its_interval(report: Report, predictor: Predictor) -> None:
    told = report.to_json()
    assert told["cases"] == told["patients"] == 60
    assert set(told["diagnoses"]) == set(predictor.diagnoses)
    assert told["macro_auroc"]["low"] <= told["macro_auroc"]["value"] <= told["macro_auroc"]["high"]
    for diagnosis in told["diagnoses"].values():
        for metric in ("auroc", "auprc", "brier", "f1", "sensitivity_at_90_specificity", "coverage"):
            assert set(diagnosis[metric]) == {"value", "low", "high"}
    assert all(code in report.to_text() for code in predictor.diagnoses)


def test_it_tells_every_choice_of_modalities(report: Report, predictor: Predictor) -> None:
    subsets = [set(s.modalities) for s in report.subsets]
    assert subsets[0] == set(predictor.modalities)
    assert len(subsets) == 7
    assert all(s.cases <= report.summary.cases for s in report.subsets)


def test_the_page_is_one_file_that_shows_it_all(report: Report, predictor: Predictor, catalogue: Catalogue) -> None:
    hostile = {**predictor.card, "description": "<script>alert(1)</script>"}
    page = report_html(report, hostile, catalogue)
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert page.count("<svg") >= 4
    assert "SYNTHETIC" in page
    assert str(report.summary.macro_auroc) in page
    assert page == report_html(report, hostile, catalogue)


def test_nothing_labelled_cannot_be_evaluated(predictor: Predictor) -> None:
    with pytest.raises(NotEnoughData, match="no labelled case"):
        evaluate(predictor, [Case(Patient("p"), note="Fever.")])


def test_less_evidence_is_judged_with_what_is_left_alone() -> None:
    whole, vitals = report_of(judged(300)).subsets[0], report_of(judged(300)).subsets[-1]
    assert vitals.modalities == ("vitals",)
    assert whole.macro_auroc.low > 0.7
    assert vitals.macro_auroc.low < 0.5 < vitals.macro_auroc.high


def test_a_group_for_which_the_model_is_wrong_stands_out() -> None:
    by_sex = {g.group: g for g in report_of(judged(300, wrong_for="F")).groups if g.by == "sex"}
    assert by_sex["F"].gap.high < -0.2
    assert by_sex["M"].gap.low > 0.2
    assert all(g.is_unequal for g in by_sex.values())
    alike = [g for g in report_of(judged(300)).groups if g.by == "sex"]
    assert not any(g.is_unequal for g in alike)


def test_a_site_that_gives_the_diagnosis_away_is_found() -> None:
    plain = judged(200)
    telling = judged(200, sites=["NORTH" if t else "SOUTH" for t in plain.targets[:, 0]])
    found = {c.name: c.macro_auroc for c in confounders(telling)}
    assert found["site"].low > 0.6
    harmless = {c.name: c.macro_auroc for c in confounders(plain, judged(200, seed=1))}
    assert harmless["site"].low < 0.5 < harmless["site"].high


def test_vitals_that_are_measured_where_the_diagnosis_is_are_found_as_well() -> None:
    plain = judged(200)
    cases = [
        replace(case, vitals={"spo2": 95, **({"crp": 9} if true else {})})
        for case, true in zip(plain.cases, plain.targets[:, 0], strict=True)
    ]
    found = {c.name: c.macro_auroc for c in confounders(replace(plain, cases=cases))}
    assert found["what is missing"].low > 0.6


def test_a_few_cases_say_nothing_of_confounders() -> None:
    assert confounders(judged(30)) == []


def test_the_surest_cases_hold_fewer_errors() -> None:
    curve = report_of(judged(400)).risk_coverage
    assert curve.risks[2] < curve.risks[-1]
    assert curve.area < curve.risks[-1]


def test_isotonic_regression_is_compared_where_there_is_a_part_to_fit_it_on() -> None:
    def boastful(seed: int) -> Judged:
        made = judged(400, seed=seed)
        return replace(made, logits_with=lambda _: 5 * made.logits)

    told = report_of(boastful(0), boastful(1)).reliability
    assert told.isotonic is not None
    assert told.isotonic < told.uncalibrated
    assert report_of(boastful(0)).reliability.isotonic is None


def test_site_device_and_view_are_read_from_the_header_alone() -> None:
    told = acquisition(FILMS["NORTH"])
    assert told == Acquisition("SYNTHETIC NORTH", "clinical_mm phantom NORTH", "PA", "DX")
    assert acquisition(b"no image at all") == Acquisition()
    assert acquisition(FILMS["NORTH"][:200]) == Acquisition()
