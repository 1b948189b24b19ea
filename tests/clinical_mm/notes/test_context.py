"""How a note tells of a thing: as so, not so, perhaps so, or of somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_mm.errors import InvalidConfig
from clinical_mm.notes import Wording, phrases


def told(note: str, word: str, wording: Wording | None = None) -> str:
    """How ``note`` tells of ``word``."""
    at = note.index(word)
    return next(str(p.context) for p in phrases(note, (), wording) if p.start <= at < p.end)


@pytest.mark.parametrize(
    ("note", "word", "context"),
    [
        ("Fever for three days.", "Fever", "affirmed"),
        ("No fever or chills.", "chills", "negated"),
        ("Denies cough, chest pain, or haemoptysis.", "haemoptysis", "negated"),
        ("No fever. Cough for a week.", "Cough", "affirmed"),
        ("No fever but productive cough.", "cough", "affirmed"),
        ("No fever, however he coughs.", "coughs", "affirmed"),
        ("No consolidation, possible effusion.", "effusion", "uncertain"),
        ("Pneumothorax was ruled out.", "Pneumothorax", "negated"),
        ("JVP not raised.", "JVP", "negated"),
        ("She has a cough and is not febrile.", "cough", "affirmed"),
        ("Allergies: none.", "Allergies", "negated"),
        ("Afebrile, coughing.", "Afebrile", "negated"),
        ("Afebrile, coughing.", "coughing", "affirmed"),
        ("No significant change in the effusion.", "effusion", "affirmed"),
        ("Gram negative sepsis.", "sepsis", "affirmed"),
        ("Walks without difficulty.", "Walks", "affirmed"),
        ("Pneumonia cannot be excluded.", "Pneumonia", "uncertain"),
        ("R/O pulmonary embolism.", "embolism", "uncertain"),
        ("Unwell since Monday. ? febrile at home.", "febrile", "uncertain"),
        ("Is there fever? Cough is present.", "Cough", "affirmed"),
        ("Percussion perhaps dull at one base.", "Percussion", "uncertain"),
        ("Father had swollen ankles.", "ankles", "other"),
        ("Her father denied chest pain.", "pain", "other"),
        ("Family history of lung cancer. Smokes.", "lung", "other"),
        ("Family history of lung cancer. Smokes.", "Smokes", "affirmed"),
        ("Brought in by his wife with fever.", "fever", "affirmed"),
        ("Seen by Dr. Low. No fever, 38.6 measured by no one.", "fever", "negated"),
        ("no wheezes or\nrales", "rales", "negated"),
        ("No wheezes\nRales at both bases", "Rales", "affirmed"),
    ],
)  # fmt: skip
def test_what_is_denied_doubted_or_of_somebody_else(note: str, word: str, context: str) -> None:
    assert told(note, word) == context


GERMAN = """
lists: {verwandt: [Vater, Mutter]}
negated: {before: [kein, keine, ohne, verneint], within: [nicht], after: [ausgeschlossen]}
uncertain: {before: [V.a., Verdacht auf], within: [vielleicht]}
other: {before: ["{verwandt}"]}
ends: [aber]
"""


def test_a_hospital_brings_its_own_words_in_its_own_language(tmp_path: Path) -> None:
    (tmp_path / "deutsch.yaml").write_text(GERMAN, encoding="utf-8")
    german = Wording.load(tmp_path)
    assert told("Kein Fieber, aber Husten.", "Fieber", german) == "negated"
    assert told("Kein Fieber, aber Husten.", "Husten", german) == "affirmed"
    assert told("Verdacht auf Pneumonie.", "Pneumonie", german) == "uncertain"
    assert told("Die Mutter hatte Asthma.", "Asthma", german) == "other"
    assert told("No fever.", "fever", german) == "affirmed"  # English is not among them


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("negated: {before: [no, never]}", "quote them"),
        ("negated: {ahead: [never]}", "ahead"),
        ('other: {before: ["{kin}"]}', "no list kin"),
        ("negated: [", "YAML"),
    ],
)
def test_a_file_of_triggers_that_is_wrong_says_what_is(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidConfig, match=says):
        Wording.load(tmp_path)


def test_a_folder_without_triggers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"english\.yaml"):
        Wording.load(tmp_path)
