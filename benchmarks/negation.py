"""How well denied, doubted and other people's findings are told: on the phantom's truth and on the NegEx test set.

The test set (2,376 de-identified sentences, a finding each, annotated for NegEx; ``rsAnnotations-1-120-random.txt`` of
its repository, Apache-2.0) is no part of this project: its path is taken from NEGEX_TEST_SET. The triggers were looked
over on its odd rows; the even rows were only counted.
"""

from __future__ import annotations

import csv
import os
import statistics
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from clinical_mm.notes import phrases
from clinical_mm.phantom import draw
from clinical_mm.phantom.wording import OTHERS
from scipy.stats import bootstrap

TITLE = "Negation, uncertainty, other people (rules)"
NOTES, SEED = 500, 41
CONTEXTS = {"affirmed": "affirmed", "denied": "negated", "uncertain": "uncertain"}
NORMAL = ("resonant", "mobile", "Up and about", "Lies flat")
"""Of the phantom's denials those that name what is normal and hold no word of negation."""
PEOPLE = [text for text in OTHERS if text.startswith(("Wife", "Father", "Brother", "Mother", "A colleague"))]


def run() -> str:
    told = list(phantom())
    lines = [
        f"{NOTES} synthetic notes (seed {SEED}), {sum(len(group) for group in told)} findings of known context; 95 % intervals by "
        "bootstrap over notes. A finding has the context of the phrase that holds most of it.",
        "",
        "| phantom | precision | recall |",
        "|---|---|---|",
    ]
    for context in ("negated", "uncertain", "other"):
        lines.append(f"| {context} | {share(told, context, of=1)} | {share(told, context, of=0)} |")
    worded = [[one for one in group if not one[2]] for group in told]
    lines.append(f"| negated, of denials that hold a word of negation | | {share(worded, 'negated', of=0)} |")
    lines += [
        "",
        "What is denied by naming the normal (fully mobile, percussion resonant) counts as affirmed.",
        "",
        *real(),
        "",
    ]
    lines.append(f"A note of 10,000 words is read in {1000 * seconds():.0f} ms.")
    return "\n".join(lines)


Told = tuple[str, str, bool]
"""Its true context, the one found, and whether it is a denial by naming the normal."""


def phantom() -> Iterator[list[Told]]:
    """For each note its findings, those of other people among them."""
    cases = [drawn for drawn in draw(NOTES * 2, SEED) if drawn.case.note][:NOTES]
    for drawn in cases:
        note = drawn.case.note or ""
        spans = [(s.start, s.end, CONTEXTS[s.way]) for s in drawn.truth.spans]
        spans += [(note.index(text), note.index(text) + len(text), "other") for text in PEOPLE if text in note]
        normal = [any(word in note[start:end] for word in NORMAL) for start, end, _ in spans]
        yield [
            (true, context(note, a, b), n and true == "negated") for (a, b, true), n in zip(spans, normal, strict=True)
        ]


def context(note: str, start: int, end: int) -> str:
    """The context of the phrase that holds most of the characters [start, end)."""
    return str(max(phrases(note, ()), key=lambda p: min(p.end, end) - max(p.start, start)).context)


def share(told: list[list[Told]], context: str, of: int) -> str:
    """Recall (``of`` 0: of the true) or precision (``of`` 1: of the found), with its interval over notes."""
    found = [sum(one[0] == one[1] == context for one in group) for group in told]
    among = [sum(one[of] == context for one in group) for group in told]

    def ratio(hits: Iterable[int], all_: Iterable[int]) -> float:
        return sum(hits) / max(sum(all_), 1)

    ends = bootstrap(
        (found, among), ratio, paired=True, vectorized=False, n_resamples=1000, method="percentile", random_state=SEED
    ).confidence_interval
    return f"{ratio(found, among):.3f} [{ends.low:.3f}-{ends.high:.3f}] of {sum(among)}"


def real() -> list[str]:
    """The NegEx test set, where it is there."""
    path = os.environ.get("NEGEX_TEST_SET")
    if not path:
        return ["The NegEx test set was not there (NEGEX_TEST_SET)."]
    with Path(path).open(encoding="latin-1", newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    lines = ["| NegEx test set, real sentences | precision (negated) | recall (negated) |", "|---|---|---|"]
    for name, half in (("held out", rows[1::2]), ("looked over", rows[::2])):
        told = [[one] for row in half for one in [annotated(str(row[1]), str(row[2]), str(row[3]))] if one]
        lines.append(
            f"| {name}, {len(told)} sentences | {share(told, 'negated', of=1)} | {share(told, 'negated', of=0)} |"
        )
    return [
        *lines,
        "",
        "Most of what costs precision is annotated otherwise: `afebrile`, `nontender` and `no acute disease` are findings that hold "
        "there.",
    ]


def annotated(finding: str, sentence: str, status: str) -> Told | None:
    at = sentence.find(finding.strip().upper())
    if at < 0:
        return None
    return "negated" if status == "Negated" else "affirmed", context(sentence, at, at + len(finding.strip())), False


def seconds() -> float:
    notes = " ".join(drawn.case.note or "" for drawn in draw(400, SEED))
    long = " ".join(notes.split()[:10_000])
    took = []
    for _ in range(5):
        started = time.perf_counter()
        phrases(long, ())
        took.append(time.perf_counter() - started)
    return statistics.median(took)
