"""Notes: sentences that tell of a finding, sentences that deny one, and sentences that tell nothing."""

from __future__ import annotations

import numpy as np

from clinical_mm.case import Patient

HEADING = "SYNTHETIC CASE."
TOLD, DENIED = 0.7, 0.3

TELLING: dict[str, tuple[str, ...]] = {
    "pneumonia": (
        "Three days of *fever and productive cough*.",
        "Presents with *rigors, cough and green sputum*.",
        "*Coarse crackles with bronchial breathing* at one base.",
        "Febrile since yesterday, *coughing up rusty sputum*.",
    ),
    "pleural-effusion": (
        "*Stony dullness to percussion* and absent breath sounds at one base.",
        "Breath sounds are *reduced at the base with dull percussion*.",
        "*Pleuritic heaviness*, worse when lying on the other side, *dull to percussion*.",
    ),
    "heart-failure": (
        "*Orthopnoea and swollen ankles* for two weeks.",
        "*Raised jugular venous pressure and pitting oedema* to the knees.",
        "Wakes at night *gasping for breath, sleeps on four pillows*.",
        "*Third heart sound* and bilateral fine crackles, *ankle oedema*.",
    ),
    "pneumothorax": (
        "*Sudden sharp one-sided chest pain* while at rest.",
        "*Hyper-resonant percussion and absent breath sounds* on one side.",
        "*Abrupt pleuritic pain and breathlessness* after coughing.",
    ),
}
DENYING: dict[str, tuple[str, ...]] = {
    "pneumonia": ("*No fever and no cough*.", "*Denies cough or sputum*."),
    "pleural-effusion": ("*Percussion note is normal* at both bases.", "*No dullness* at the bases."),
    "heart-failure": ("*No ankle swelling, no orthopnoea*.", "*Jugular venous pressure is not raised*."),
    "pneumothorax": ("*Breath sounds equal on both sides*.", "*No sudden chest pain*."),
}
FILLER = (
    "Lives with family and is independent.",
    "Takes a statin and nothing else.",
    "No known allergies.",
    "Former smoker, stopped ten years ago.",
    "Appetite a little reduced.",
    "Seen in the emergency department.",
    "Mother had diabetes.",
)


def draw_note(
    rng: np.random.Generator, present: tuple[str, ...], diagnoses: tuple[str, ...], patient: Patient
) -> tuple[str, dict[str, tuple[tuple[int, int], ...]]]:
    """The note and, by diagnosis, the characters that tell or deny it (between the asterisks above)."""
    sentences: list[tuple[str, str]] = []
    for code in diagnoses:
        told, share = (TELLING[code], TOLD) if code in present else (DENYING[code], DENIED)
        if rng.random() < share:
            sentences.append((code, told[rng.integers(len(told))]))
    sentences += [("", FILLER[i]) for i in rng.choice(len(FILLER), size=2, replace=False)]
    order = rng.permutation(len(sentences))
    who = {"F": "woman", "M": "man"}.get(patient.sex or "", "patient")
    opening = f"{HEADING} {int(patient.age_years or 0)}-year-old {who}."
    return _joined(opening, [sentences[i] for i in order])


def _joined(opening: str, sentences: list[tuple[str, str]]) -> tuple[str, dict[str, tuple[tuple[int, int], ...]]]:
    note, spans = opening, dict[str, list[tuple[int, int]]]()
    for code, sentence in sentences:
        note += " "
        for part, text in enumerate(sentence.split("*")):
            if part % 2:
                spans.setdefault(code, []).append((len(note), len(note) + len(text)))
            note += text
    return note, {code: tuple(found) for code, found in spans.items()}
