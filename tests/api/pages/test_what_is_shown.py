"""Notes in pieces, vitals against their range, files in stacks: plain functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from api.cases.schemas import FileOut
from api.pages.measures import absent_measures, measure_rows
from api.pages.stacks import stacks
from api.pages.wording import what_is_absent
from api.pages.words import STEPS, pieces, strongest_words
from clinical_mm.catalogue import Catalogue

CATALOGUE = Catalogue.load()


@dataclass(frozen=True)
class Span:
    start: int
    end: int
    attribution: float


@given(
    note=st.text(max_size=80),
    spans=st.lists(st.builds(Span, st.integers(-5, 90), st.integers(-5, 90), st.floats(-3, 3)), max_size=12),
)
def test_pieces_hold_every_character_once_whatever_the_spans_say(note: str, spans: list[Span]) -> None:
    found = pieces(note, spans)
    assert "".join(p.text for p in found) == note
    assert all(0 <= p.step <= STEPS for p in found)


def test_the_strongest_word_is_the_most_coloured() -> None:
    found = pieces("fever but no cough", [Span(0, 5, 0.9), Span(10, 12, -0.3), Span(13, 18, 0.01)])
    assert [(p.text, p.step, p.speaks) for p in found if p.attribution is not None] == [
        ("fever", 5, "for"),
        ("no", 2, "against"),
        ("cough", 0, "for"),
    ]
    assert [p.text for p in strongest_words(found)] == ["fever", "no"]


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
