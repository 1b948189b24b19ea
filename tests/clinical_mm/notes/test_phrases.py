"""Words made phrases: what a reader would point at, adding up to what the words add."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_mm.modalities.base import Span, word_spans
from clinical_mm.notes import Context, phrases

WORDS = [
    "no",
    "fever",
    "or",
    "chills",
    "but",
    "denies",
    "father",
    "had",
    "?",
    ".",
    ",",
    "not",
    "of",
    "the",
    "\n",
    "r/o",
    "x2",
]


def texts(note: str) -> list[str]:
    return [phrase.text for phrase in phrases(note, ()) if phrase.text not in {".", ","}]


def test_joining_words_hold_a_phrase_together() -> None:
    assert texts("No fever or chills. Productive cough with green sputum.") == [
        "No fever or chills",
        "Productive cough with green sputum",
    ]


def test_words_without_content_stand_apart() -> None:
    assert texts("She has orthopnoea and is breathless.") == ["She", "has", "orthopnoea", "and", "is", "breathless"]


def test_marks_inside_a_word_do_not_part_it() -> None:
    assert texts("C/o cough. BP 120/80, SpO2 88%, 64 y.o. woman.") == [
        "C/o cough", "BP 120/80", "SpO2 88%", "64 y.o. woman",
    ]  # fmt: skip


def test_a_long_run_is_cut_after_a_joining_word() -> None:
    found = texts("A two-month history of dry cough and pleuritic chest pain on deep inspiration.")
    assert found[:3] == ["A two-month history of dry cough", "and", "pleuritic chest pain on deep inspiration"]


@given(st.lists(st.sampled_from(WORDS), max_size=40), st.randoms(use_true_random=False))
def test_phrases_hold_every_word_once_and_add_up_to_their_words(drawn: list[str], random: object) -> None:
    note = " ".join(drawn)
    spans = word_spans(note, [(at, at + 1, math.sin(at)) for at in range(len(note))])
    found = phrases(note, spans)
    told = "".join(note[p.start : p.end] for p in found)
    assert "".join(told.split()) == "".join(note.split())
    assert all(a.end <= b.start for a, b in pairwise(found))
    for phrase in found:
        inside = sum(s.attribution for s in spans if phrase.start <= s.start < phrase.end)
        assert phrase.attribution == pytest.approx(inside)
    assert sum(p.attribution for p in found) == pytest.approx(sum(s.attribution for s in spans))


@given(st.text(max_size=120))
def test_any_text_can_be_read(note: str) -> None:
    for phrase in phrases(note, word_spans(note, [(0, len(note), 1.0)])):
        assert note[phrase.start : phrase.end] == phrase.text
        assert phrase.text.strip() == phrase.text != ""


def test_a_phrase_goes_over_the_wire_with_its_context() -> None:
    found = phrases("No fever.", [Span(0, 2, "No", -0.1), Span(3, 8, "fever", 0.35)])
    assert found[0].to_json() == {
        "start": 0, "end": 8, "text": "No fever", "attribution": 0.25, "context": "negated",
    }  # fmt: skip
    assert found[1].context is Context.AFFIRMED  # the full stop


def test_a_long_note_is_read_in_a_moment() -> None:
    note = "Denies fever, chills or night sweats but has had a productive cough with green sputum for days. " * 600
    found = phrases(note, ())
    assert len(note.split()) > 10_000
    assert sum(p.context is Context.NEGATED for p in found if p.text != ",") == 2 * 600
