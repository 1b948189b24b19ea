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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from scipy.stats import bootstrap

from clinical_mm.notes import phrases
from clinical_mm.notes.words import WORD
from clinical_mm.phantom import draw
from clinical_mm.phantom.wording import OTHERS

TITLE = "Negation, uncertainty, other people (rules)"
NOTES, SEED = 500, 41
CONTEXTS = {"affirmed": "affirmed", "denied": "negated", "uncertain": "uncertain"}
NORMAL = ("resonant", "mobile", "Up and about", "Lies flat")
"""Of the phantom's denials those that name what is normal and hold no word of negation."""
PEOPLE = [text for text in OTHERS if text.startswith(("Wife", "Father", "Brother", "Mother", "A colleague"))]


HOW = """95 % intervals by bootstrap over notes, of real sentences over sentences. A finding has the context of the
phrase that holds most of it. Baseline: negated where no, not, without, denies or denied is the finding's
first word or among the five before (the window of NegEx)."""
MISSED = """What is denied by naming the normal (fully mobile, percussion resonant) counts as affirmed. The rest that is
missed is `afebrile throughout`: afebrile is told as negated, most letters stand in the other word. The
phantom's sentences are few and plain: these figures say that the rules work, not how they do on real notes."""
ANNOTATED = """The annotators hold `afebrile`, `nontender` or `no acute disease` for findings that are there; we tell
them as denied. The rows without leave such findings out: those the rules find a denial in when they stand alone."""


def run() -> str:
    ours, plain = list(phantom(context)), list(phantom(five_words))
    worded = [[[one for one in group if not one[2]] for group in told] for told in (ours, plain)]
    return "\n".join(
        [
            f"{NOTES} synthetic notes (seed {SEED}), {sum(map(len, ours))} findings of known context. {HOW}",
            "",
            "| phantom | precision | recall | baseline's precision | its recall |",
            "|---|---|---|---|---|",
            f"| negated | {figures(ours, 'negated')} | {figures(plain, 'negated')} |",
            f"| negated, by a word of negation | {figures(worded[0], 'negated')} | {figures(worded[1], 'negated')} |",
            f"| uncertain | {figures(ours, 'uncertain')} | | |",
            f"| of another person | {figures(ours, 'other')} | | |",
            "",
            MISSED,
            "",
            *real(),
            "",
            f"A note of 10,000 words is read in {1000 * seconds():.0f} ms.",
        ]
    )


Told = tuple[str, str, bool]
"""Its true context, the one found, and whether it is a denial by naming the normal."""
Reader = Callable[[str, int, int], str]


def phantom(reader: Reader) -> Iterator[list[Told]]:
    """For each note its findings, those of other people among them where no slip of the pen hides them."""
    cases = [drawn for drawn in draw(NOTES * 2, SEED) if drawn.case.note][:NOTES]
    for drawn in cases:
        note = drawn.case.note or ""
        spans = [(s.start, s.end, CONTEXTS[s.way]) for s in drawn.truth.spans]
        spans += [(note.index(text), note.index(text) + len(text), "other") for text in PEOPLE if text in note]
        normal = [any(word in note[start:end] for word in NORMAL) for start, end, _ in spans]
        yield [
            (true, reader(note, a, b), n and true == "negated") for (a, b, true), n in zip(spans, normal, strict=True)
        ]


def context(note: str, start: int, end: int) -> str:
    """The context of the phrase that holds most of the characters [start, end)."""
    return str(max(phrases(note, ()), key=lambda p: min(p.end, end) - max(p.start, start)).context)


def five_words(note: str, start: int, end: int) -> str:
    """The baseline: looks at the finding's own first word and the five before it."""
    near = [word.lower() for word in WORD.findall(note[:end])]
    own = len(WORD.findall(note[start:end]))
    near = near[max(0, len(near) - own - 5) : len(near) - own + 1]
    return "negated" if {"no", "not", "without", "denies", "denied"} & set(near) else "affirmed"


def figures(told: list[list[Told]], context: str) -> str:
    return f"{share(told, context, of=1)} | {share(told, context, of=0)}"


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
        rows = [tuple(map(str, row.values())) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    lines = [
        "| NegEx test set, real | precision | recall | baseline's precision | its recall |",
        "|---|---|---|---|---|",
    ]
    for name, half in (("held out", rows[1::2]), ("looked over", rows[::2])):
        without = [row for row in half if all(p.context == "affirmed" for p in phrases(row[1], ()))]
        for which, chosen in (("", half), (", without", without)):
            ours, plain = ([[one] for row in chosen if (one := annotated(row, r))] for r in (context, five_words))
            told = f"{figures(ours, 'negated')} | {figures(plain, 'negated')}"
            lines.append(f"| {name}{which}, {len(ours)} sentences | {told} |")
    return [*lines, "", ANNOTATED]


def annotated(row: tuple[str, ...], reader: Reader) -> Told | None:
    """A row's finding; None where the sentence does not hold it in capitals."""
    finding, sentence = row[1].strip(), row[2]
    at = sentence.find(finding.upper())
    if at < 0:
        return None
    return "negated" if row[3] == "Negated" else "affirmed", reader(sentence, at, at + len(finding)), False


def seconds() -> float:
    notes = " ".join(drawn.case.note or "" for drawn in draw(400, SEED))
    long = " ".join(notes.split()[:10_000])
    took = []
    for _ in range(5):
        started = time.perf_counter()
        phrases(long, ())
        took.append(time.perf_counter() - started)
    return statistics.median(took)
