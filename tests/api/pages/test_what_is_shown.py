"""Notes in pieces, vitals against their range, files in stacks: plain functions."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.cases.schemas import CaseOut, FileOut
from api.explanations.schemas import ExplanationOut, SpanOut
from api.pages.case_page import phrases_of
from api.pages.measures import absent_measures, measure_rows
from api.pages.stacks import stacks
from api.pages.wording import what_is_absent
from api.pages.words import MOST_COLOURED, STEPS, Piece, badges, pieces, strongest_phrases
from clinical_mm.catalogue import Catalogue
from clinical_mm.notes import Context, Phrase, Wording

CATALOGUE = Catalogue.load()


def phrase(note: str, text: str, attribution: float, context: str = "affirmed") -> Phrase:
    at = note.index(text)
    return Phrase(at, at + len(text), text, attribution, Context(context))


@given(
    note=st.text(max_size=80),
    found=st.lists(
        st.builds(
            Phrase,
            st.integers(-5, 90),
            st.integers(-5, 90),
            st.text(max_size=3),
            st.floats(-3, 3),
            st.sampled_from(Context),
        ),
        max_size=12,
    ),
)
def test_pieces_hold_every_character_once_whatever_the_phrases_say(note: str, found: list[Phrase]) -> None:
    placed = [replace(p, text=note[p.start : p.end]) for p in found]
    shown = pieces(note, [*found, *placed])
    assert "".join(p.text for p in shown) == note
    assert all(0 <= p.step <= STEPS for p in shown)


def test_the_strongest_phrase_is_the_most_coloured_and_what_is_denied_is_marked_as_such() -> None:
    note = "No fever but a productive cough, no rash."
    found = pieces(
        note,
        [
            phrase(note, "No fever", -0.3, "negated"),
            phrase(note, "a productive cough", 0.9),
            phrase(note, "no rash", 0.01, "negated"),
        ],
    )
    assert [(p.text, p.step, p.speaks, p.told) for p in found if p.marked] == [
        ("No fever", 2, "against", "denied"),
        ("a productive cough", 5, "for", ""),
        ("no rash", 0, "for", "denied"),
    ]
    assert [p.text for p in strongest_phrases(found)] == ["a productive cough", "No fever"]
    assert badges(found) == {"negated": "denied"}


def test_an_explanation_that_was_stored_before_there_were_phrases_is_read_in_phrases() -> None:
    words = [
        SpanOut(start=0, end=2, text="No", attribution=-0.1),
        SpanOut(start=3, end=8, text="fever", attribution=0.4),
    ]
    stored = ExplanationOut.model_construct(text=words, phrases=[])
    services: Any = SimpleNamespace(ground=SimpleNamespace(wording=Wording.load()))
    found = phrases_of(services, CaseOut.model_construct(note="No fever."), stored)
    assert [(p.text, round(p.attribution, 6), p.context) for p in found] == [
        ("No fever", 0.3, "negated"), (".", 0.0, "affirmed"),
    ]  # fmt: skip
    assert phrases_of(services, CaseOut.model_construct(note="No fever."), None) == ()


def test_phrases_side_by_side_share_a_badge() -> None:
    note = "Father had fever and cough, mother too."
    found = pieces(
        note, [phrase(note, text, 0.0, "other") for text in ("Father had fever", "and", "cough", "mother too")]
    )
    assert [(p.text, p.goes_on) for p in found if p.marked] == [
        ("Father had fever", False), ("and", True), ("cough", True), ("mother too", False),
    ]  # fmt: skip


def test_a_phrase_that_the_note_no_longer_has_is_not_shown() -> None:
    assert pieces("No fever.", [Phrase(0, 5, "Cough", 1.0)]) == [Piece("No fever.")]


def test_only_the_strongest_phrases_of_a_long_note_are_coloured() -> None:
    note = "cough " * 1000
    found = pieces(note, [Phrase(6 * n, 6 * n + 5, "cough", 1.0 + n) for n in range(1000)])
    assert sum(p.step > 0 for p in found) == MOST_COLOURED
    assert len(found) <= 2 * MOST_COLOURED + 1


@given(st.floats(-1e6, 1e6), st.sampled_from([v.name for v in CATALOGUE.vitals]))
def test_a_bar_stays_within_its_length(value: float, name: str) -> None:
    row = measure_rows(CATALOGUE, {name: value}, {})[0]
    assert 0 <= row.normal_from <= row.normal_to <= 100
    assert 0 <= row.at <= 100


def test_vitals_outside_their_range_say_which_side() -> None:
    rows = measure_rows(
        CATALOGUE, {"spo2": 88, "heart_rate": 120, "temperature": 37.0}, {"heart_rate": 0.2, "spo2": 0.8}
    )
    assert [(r.name, r.state) for r in rows] == [("spo2", "low"), ("heart_rate", "high"), ("temperature", "normal")]
    assert rows[0].share == 100
    assert rows[2].unit == "°C"
    assert "Lactate" in absent_measures(CATALOGUE, {"spo2": 88})


def test_what_is_absent_reads_as_a_sentence() -> None:
    assert what_is_absent({"imaging": True, "text": True}) == ""
    told = what_is_absent({"imaging": False, "text": True, "vitals": True})
    assert told == "No image: the probabilities rest on note and vitals alone."


def file(position: int, **attributes: Any) -> FileOut:
    return FileOut(
        position=position, name=f"{position}.dcm", media_type="application/dicom", size=1, sha256="", rows=4, columns=4,
        frames=attributes.pop("frames", 1), attributes={"value_range": [0, position], **attributes}, content="", preview="",
    )  # fmt: skip


def test_instances_of_one_series_are_one_stack_in_their_order() -> None:
    files = [
        file(0, series_uid="1.2", instance_number=2),
        file(1, series_uid="1.2", instance_number=1),
        file(2, frames=3),
    ]
    found = stacks(files, lambda n, frame: f"{n}/{frame}", {(0, 0): "heat"})
    assert [[f["raw"] for f in s["frames"]] for s in found] == [["1/0", "0/0"], ["2/0", "2/1", "2/2"]]
    assert [f["heatmap"] for f in found[0]["frames"]] == [None, "heat"]
    assert found[0]["range"] == [0, 1]
