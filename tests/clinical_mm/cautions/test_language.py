"""Notes in another language than those of training."""

from __future__ import annotations

import pytest

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions.language import Language
from tests.clinical_mm.cautions.seeing import seen, told

ENGLISH = [
    "Fever and productive cough for three days. Crackles at the left base.",
    "Swollen ankles, orthopnoea, raised jugular venous pressure.",
    "Sudden stabbing pain on the right side, reduced breath sounds.",
    "Bedridden after hip surgery, no fever, slightly short of breath.",
] * 10
GERMAN = "Patient mit Fieber und Husten seit drei Tagen, keine Atemnot."


@pytest.fixture
def english(catalogue: Catalogue) -> Language:
    check = Language(("text",), catalogue)
    check.fit([seen(note=note) for note in ENGLISH])
    return check


@pytest.mark.parametrize(
    ("note", "name"),
    [
        (GERMAN, "German"),
        ("Fièvre et toux depuis trois jours, pas de dyspnée au repos.", "French"),
        ("Paciente con fiebre y tos desde hace tres días, niega disnea.", "Spanish"),
        ("患者は三日前から発熱と咳があり、呼吸困難はない。胸部レントゲンで右下肺野に浸潤影を認める。", "Japanese"),
        ("Пациент жалуется на кашель и лихорадку в течение трёх дней.", "Russian"),
    ],
)
def test_another_language_is_named(english: Language, note: str, name: str) -> None:
    [caution] = told(english, seen(note=note))
    assert caution.code == "other-language"
    assert caution.detail == f"the note reads as {name}; the model learned from English"


@pytest.mark.parametrize(
    "note",
    [
        "Husten, Fieber",
        "Pt c/o SOB x3d, PMHx CHF, DM2, HTN. RLL opacity ?PNA. CXR AP. Abx: ceftriaxone + azithro.",
        "s/p CABG, EF 35%, NYHA III, BNP 1200. b/l LE edema 2+. JVD+. Lasix 40 mg IV bid.",
        "Metatarsus primus varus with bunion deformity",
        "RR 18, HR 92, BP 132/78, T 38.4, SpO2 93 % RA",
        "PATIENT WITH ACUTE ONSET OF DYSPNOEA AND PLEURITIC CHEST PAIN",
    ],
)
def test_short_notes_abbreviations_and_latin_terms_raise_nothing(english: Language, note: str) -> None:
    assert told(english, seen(note=note)) == []


def test_the_drawn_notes_raise_nothing(english: Language, drawn: list[Case]) -> None:
    notes = [case.note for case in drawn if case.note]
    assert [note for note in notes if told(english, seen(note=note))] == []


def test_a_model_of_two_languages_takes_both(catalogue: Catalogue) -> None:
    check = Language(("text",), catalogue)
    check.fit([seen(note=note) for note in [*ENGLISH, *[GERMAN] * 20]])
    assert told(check, seen(note=GERMAN)) == []
    [caution] = told(check, seen(note="Fièvre et toux depuis trois jours, pas de dyspnée au repos."))
    assert caution.detail.endswith("the model learned from English and German")


def test_too_few_notes_teach_no_language(catalogue: Catalogue) -> None:
    check = Language(("text",), catalogue)
    check.fit([seen(note=note) for note in ENGLISH[:10]])
    assert told(check, seen(note=GERMAN)) == []
