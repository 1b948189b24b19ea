"""Notes: each symptom affirmed, told as uncertain, denied or passed over; words of others; abbreviations; slips.

Between asterisks stand the words that tell. What is told of someone else, or of another time, uses the same words and
means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clinical_mm.phantom.model import SYMPTOMS, TOLD, telling_table

HEADING = "SYNTHETIC CASE."
DISTRACTING, SLIP = 0.3, 0.012
"""Probability of a sentence about someone else, and of a slip of the pen in a word."""


@dataclass(frozen=True)
class ToldSpan:
    """Characters [start, end) of the note that tell of a symptom, and how: affirmed, uncertain or denied.

    ``sentence``: [start, end) of all that was written with it. Its other words ('vocal resonance reduced') are written
    only where the symptom is told of, so that they are evidence of it too.
    """

    symptom: str
    way: str
    start: int
    end: int
    sentence: tuple[int, int]


WORDING: dict[str, dict[str, tuple[str, ...]]] = {
    "fever": {
        "affirmed": (
            "*Febrile with rigors* since yesterday.",
            "Three days of *fever and chills*.",
            "*Hot and shivering* at night.",
            "Temp up at home, *rigors x2*.",
        ),
        "uncertain": ("*May have had a fever*, did not measure it.", "*? febrile* at home."),
        "denied": ("*No fever or chills*.", "*Afebrile throughout*.", "Denies *any fever*."),
    },
    "cough": {
        "affirmed": (
            "*Productive cough with green sputum*.",
            "*Coughing* day and night.",
            "C/o *cough and phlegm*.",
            "*Persistent cough* for four days.",
        ),
        "uncertain": ("*Perhaps some cough*, the history is unclear.",),
        "denied": ("*No cough, no sputum*.", "Denies *cough*.", "*Not coughing*."),
    },
    "immobility": {
        "affirmed": (
            "*Abdominal surgery two days ago*, breathing shallowly.",
            "*Bed-bound since the operation*.",
            "Post-op day 3, *poor inspiratory effort*.",
            "*Immobile after hip surgery*, weak cough effort.",
        ),
        "uncertain": ("*Possibly spent days in bed*.",),
        "denied": ("*No recent operation*.", "*Fully mobile*.", "*Up and about*, no surgery."),
    },
    "urinary": {
        "affirmed": ("*Burning on passing urine*.", "*Dysuria and flank pain*.", "C/o *frequency and dysuria*."),
        "uncertain": ("*Might have dysuria*.",),
        "denied": ("*No urinary symptoms*.", "Denies *dysuria*."),
    },
    "congestion": {
        "affirmed": (
            "*Orthopnoea and swollen ankles* for two weeks.",
            "*Raised JVP and pitting oedema* to the knees.",
            "*Sleeps on four pillows*, wakes gasping.",
            "*Bilateral ankle oedema*.",
        ),
        "uncertain": ("*Ankles possibly a little swollen*.", "*JVP difficult to see, perhaps raised*."),
        "denied": ("*No ankle swelling, no orthopnoea*.", "*JVP not raised*.", "*Lies flat comfortably*."),
    },
    "dullness": {
        "affirmed": (
            "*Stony dullness to percussion* at one base.",
            "*Reduced breath sounds and dull percussion* at the base.",
            "*Dull base*, vocal resonance reduced.",
        ),
        "uncertain": ("*Percussion perhaps dull* at one base.",),
        "denied": ("*Percussion resonant* throughout.", "*No dullness* at the bases."),
    },
    "sudden-pain": {
        "affirmed": (
            "*Sudden sharp one-sided chest pain* at rest.",
            "*Abrupt pleuritic pain*, then SOB.",
            "*Stabbing chest pain that came on suddenly*.",
        ),
        "uncertain": ("*Some chest discomfort, onset unclear*.",),
        "denied": ("*No chest pain*.", "Denies *sudden pain*."),
    },
}
OTHERS = (
    "Wife was treated for a fever and cough last month.",
    "Father had swollen ankles and orthopnoea for years.",
    "Brother once had sudden chest pain from a collapsed lung.",
    "Had abdominal surgery in childhood.",
    "Mother is often troubled by dysuria.",
    "Vaccinated against pneumonia last autumn.",
    "A colleague was sent home febrile.",
    "Fluid on the lung was asked about; an old film showed none.",
)
FILLER = (
    "Lives with family and is independent.",
    "Takes a statin and nothing else.",
    "No known allergies.",
    "Former smoker, stopped ten years ago.",
    "Appetite a little reduced.",
    "Seen in the emergency department.",
    "Works in an office.",
    "History taken from the patient and the referral letter.",
)


def draw_note(
    rng: np.random.Generator, state: int, age: float, sex: str
) -> tuple[str, dict[str, str], tuple[ToldSpan, ...]]:
    """The note, how it tells of each symptom (one of ``TOLD``), and the characters that do."""
    ways = {name: TOLD[rng.choice(len(TOLD), p=telling_table()[row, :, state])] for row, name in enumerate(SYMPTOMS)}
    sentences = [(name, way, _one_of(rng, WORDING[name][way])) for name, way in ways.items() if way != "silent"]
    sentences += [("", "", FILLER[i]) for i in rng.choice(len(FILLER), size=2, replace=False)]
    if rng.random() < DISTRACTING:
        sentences.append(("", "", _one_of(rng, OTHERS)))
    who = {"F": ("woman", "female", "F"), "M": ("man", "male", "M")}[sex]
    opening = f"{HEADING} {int(age)}{rng.choice(['-year-old ', ' y.o. '])}{_one_of(rng, who)}."
    note, spans = _joined(rng, opening, [sentences[i] for i in rng.permutation(len(sentences))])
    return note, ways, spans


def _joined(
    rng: np.random.Generator, opening: str, sentences: list[tuple[str, str, str]]
) -> tuple[str, tuple[ToldSpan, ...]]:
    note, spans = opening, []
    for symptom, way, sentence in sentences:
        note += " "
        parts = [_with_slips(rng, text) for text in sentence.split("*")]
        whole = (len(note), len(note) + sum(len(part) for part in parts))
        for number, written in enumerate(parts):
            if number % 2:
                spans.append(ToldSpan(symptom, way, len(note), len(note) + len(written), whole))
            note += written
    return note, tuple(spans)


def _with_slips(rng: np.random.Generator, text: str) -> str:
    """Now and then two neighbouring letters within a longer word change places."""
    words = text.split(" ")
    for place, word in enumerate(words):
        if len(word) > 5 and word.isalpha() and rng.random() < SLIP:
            at = int(rng.integers(1, len(word) - 2))
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def _one_of(rng: np.random.Generator, texts: tuple[str, ...]) -> str:
    return texts[int(rng.integers(len(texts)))]
