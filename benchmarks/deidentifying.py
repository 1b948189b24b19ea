"""How much of who a case is about is found: identifiers planted in real notes, text burned into real pictures.

No set with marked identifiers is at hand, so they are planted, seeded, and said to be so. A model of names is measured
beside the rules where DEIDENTIFY_NAMES names one (``spacy:en_core_web_sm``, ``transformers:obi/deid_roberta_i2b2``).
"""

from __future__ import annotations

import csv
import gzip
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import binomtest

from clinical_mm.deidentify.burned_in import text_boxes
from clinical_mm.deidentify.known import Known
from clinical_mm.deidentify.names import find_names
from clinical_mm.deidentify.note_dates import date_spans
from clinical_mm.deidentify.notes import identifiers
from clinical_mm.errors import ClinicalMMError
from clinical_mm.pictures import read_picture

TITLE = "De-identification: planted identifiers, text in pixels"
SHARED = Path(__file__).parents[2] / "shared" / "data"
SEED = 11
FIRST = [
    "Adaeze",
    "Akira",
    "Alicja",
    "Babajide",
    "Birgit",
    "Chiara",
    "Dmitri",
    "Eleni",
    "Fatima",
    "Gareth",
    "Hiroko",
    "Imani",
    "Jorge",
    "Kavya",
    "Lars",
    "Mei",
    "Nadia",
    "Omar",
    "Priya",
    "Quentin",
    "Rosalind",
    "Siobhan",
    "Tomasz",
    "Ulrike",
    "Viktor",
    "Wanjiru",
    "Ximena",
    "Yusuf",
    "Zofia",
    "Grace",
]
LAST = [
    "Abernathy",
    "Banerjee",
    "Castellanos",
    "Dubois",
    "Eriksen",
    "Fitzgerald",
    "Gunawardena",
    "Haddad",
    "Ishikawa",
    "Jankowski",
    "Kowalczyk",
    "Lindqvist",
    "Mbeki",
    "Nakamura",
    "Okonkwo",
    "Papadopoulos",
    "Quispe",
    "Rasmussen",
    "Schwarz",
    "Tanaka",
    "Underwood",
    "Villanueva",
    "Whitfield",
    "Xiong",
    "Yamamoto",
    "Zielinski",
    "Baker",
    "Rose",
    "Young",
    "Stone",
]
SENTENCES: tuple[tuple[str, str], ...] = (
    ("own name", "{given} {family} tolerated the procedure well."),
    ("own name", "Ms. {family} was advised to return."),
    ("own name", "{FAMILY}, {GIVEN} was discussed at the meeting."),
    ("own id", "Hospital number {own} was confirmed."),
    ("own id", "Films are filed under {own}."),
    ("staff, announced", "Discussed with Dr. {other} of cardiology."),
    ("staff, announced", "Attending: {first} {other}"),
    ("staff, announced", "Dictated by: {first} {other}, M.D."),
    ("staff, announced", "cc: {first} {other}, MD"),
    ("other name, bare", "{first} {other} will follow up on the culture."),
    ("other name, bare", "The film was reviewed by {other} in the afternoon."),
    ("other name, bare", "Lives with {first}, who brought the medication list."),
    ("phone", "The family can be reached at {area}-{three}-{four}."),
    ("phone", "Telephone ({area}) {three}-{four}."),
    ("phone", "Pager {four}."),
    ("e-mail or address on the web", "Results to {mail}@clinic-{three}.org please."),
    ("e-mail or address on the web", "See https://portal.example.org/{mail}/{four} for images."),
    ("number of a record", "MRN: {long}"),
    ("number of a record", "Medical record number {long} was merged."),
    ("number of a record", "Accession {letters}{long}."),
    ("address", "Home address: {three} {other} Street, {family}ville, OH {zip}."),
    ("address", "She moved to {three} North {other} Avenue last year."),
    ("date", "Admitted on {us}."),
    ("date", "The last scan of {iso} was normal."),
    ("date", "Surgery was on {words}."),
    ("date", "Followed since {month} {year}."),
    ("date", "Seen {short} in clinic."),
)
"""Kind of identifier, and a sentence that holds it; some are not what the rules were written for."""
TEXTS = ("OKONKWO ADAEZE 14.02.1951", "MRN 00482913", "DOB 1951-02-14 F", "St Brumaire Hospital", "2026-03-01 10:15:22")
SIZES = (10, 14, 20, 28)
BACKGROUNDS = {"dark": 0.35, "middling": 0.65, "bright": 9.0}
HOW = """Share that is masked to the last character, 95 % interval (Wilson). Who wrote the rules wrote the forms: real
notes are worse."""
PRECISION = """Precision counts a masked span as right where it touches a planted one; what the notes held themselves
(`Dr. X`, dates) counts as wrong, so it is a lower bound."""
AS_THEY_ARE = """Looked at by eye, all of them do (`AP ERECT`, `MOBILE`, a name): no false alarm,"""
BURNED = """Text burned in at the brightest value of the picture, at a seeded place; found: nine tenths lie in boxes.
Background: mean of what is below the text, as a share of the picture's range (dark: below 0.35, bright: above 0.65)."""


@dataclass(frozen=True)
class Planted:
    """A note with identifiers in it, where they stand, and what a header would tell of the patient."""

    note: str
    spans: tuple[tuple[int, int, str], ...]
    known: Known


Finder = Callable[[Planted], list[tuple[int, int]]]


def run() -> str:
    notes = list(planted())
    finders: dict[str, Finder] = {"header's values alone": exact, "rules": rules}
    if spec := os.environ.get("DEIDENTIFY_NAMES"):
        names = find_names(spec)
        kind, _, model = spec.partition(":")
        called = f"rules and {kind}:{Path(model).name}"
        finders[called] = lambda one: rules(one) + [(s, e) for s, e, _ in names(one.note)]
    found = {name: [finder(one) for one in notes] for name, finder in finders.items()}
    kinds = list(dict.fromkeys(kind for kind, _ in SENTENCES))
    return "\n".join(
        [
            f"{len(notes)} real notes (MTSamples), {sum(len(n.spans) for n in notes):,} identifiers planted in "
            f"sentences of {len(SENTENCES)} forms (seed {SEED}; {len(FIRST)} first, {len(LAST)} last names). {HOW}",
            "",
            f"| planted | {' | '.join(finders)} |",
            f"|---|{'---|' * len(finders)}",
            *(f"| {kind} | {' | '.join(recall(notes, found[name], kind) for name in finders)} |" for kind in kinds),
            f"| all | {' | '.join(recall(notes, found[name]) for name in finders)} |",
            f"| precision, at least | {' | '.join(precision(notes, found[name]) for name in finders)} |",
            "",
            PRECISION,
            "",
            *pixels(),
        ]
    )


def planted() -> Iterator[Planted]:
    """Each note with a patient of its own, and six sentences at one place."""
    rng = random.Random(SEED)
    for text in mtsamples():
        who = person(rng)
        place = rng.choice([m.end() for m in re.finditer(r"[.,] ", text)] or [len(text)])
        note, spans = text[:place], []
        for kind, form in rng.sample(SENTENCES, k=6):
            note, span = written(note, form, who | person_of_staff(rng), kind)
            spans.append(span)
        known = Known()
        known.add_name(f"{who['family']}^{who['given']}")
        known.add_id(who["own"])
        yield Planted(f"{note} {text[place:]}", tuple(spans), known)


def written(note: str, form: str, words: dict[str, str], kind: str) -> tuple[str, tuple[int, int, str]]:
    """The note with a sentence more, and where the words in it begin and end."""
    start, last = len(note) + 1 + form.index("{"), form.rindex("}")
    tail = len(form) - last - 1
    sentence = form.format(**words)
    note = f"{note} {sentence}"
    return note, (start, len(note) - tail, kind)


def person(rng: random.Random) -> dict[str, str]:
    given, family = rng.choice(FIRST), rng.choice(LAST)
    return {
        "given": given,
        "family": family,
        "GIVEN": given.upper(),
        "FAMILY": family.upper(),
        "own": f"H{rng.randrange(10**5, 10**6)}",
    }


def person_of_staff(rng: random.Random) -> dict[str, str]:
    day = date(2019, 1, 1) + timedelta(days=rng.randrange(2500))
    return {
        "first": rng.choice(FIRST),
        "other": rng.choice(LAST),
        "area": str(rng.randrange(201, 990)),
        "three": str(rng.randrange(101, 999)),
        "four": str(rng.randrange(1000, 9999)),
        "long": str(rng.randrange(10**6, 10**8)),
        "letters": rng.choice(("A", "CX", "RAD")),
        "zip": str(rng.randrange(10000, 99999)),
        "mail": rng.choice(LAST).lower(),
        "us": f"{day:%m/%d/%Y}",
        "iso": f"{day:%Y-%m-%d}",
        "words": f"{day:%B} {day.day}, {day.year}",
        "month": f"{day:%B}",
        "year": str(day.year),
        "short": f"{day.month}/{day.day}/{day:%y}",
    }


def mtsamples() -> list[str]:
    path = SHARED / "mtsamples" / "notes.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file) if len(row["text"]) > 200]


def exact(one: Planted) -> list[tuple[int, int]]:
    """The baseline: the values of the header, letter by letter."""
    values = (*one.known.names, *one.known.ids)
    return [m.span() for value in values for m in re.finditer(re.escape(value), one.note)]


def rules(one: Planted) -> list[tuple[int, int]]:
    found = [(start, end) for start, end, _ in identifiers(one.note, one.known)]
    return found + [(start, end) for start, end, _ in date_spans(one.note, 1, "mdy")]


def recall(notes: list[Planted], found: list[list[tuple[int, int]]], kind: str | None = None) -> str:
    hits = [
        covered(one.note, spans, start, end)
        for one, spans in zip(notes, found, strict=True)
        for start, end, which in one.spans
        if kind in {None, which}
    ]
    return share(sum(hits), len(hits))


def covered(note: str, spans: Iterable[tuple[int, int]], start: int, end: int) -> bool:
    """Whether no letter or digit of it is left."""
    masked = {at for first, last in spans for at in range(max(first, start), min(last, end))}
    return all(at in masked or not note[at].isalnum() for at in range(start, end))


def precision(notes: list[Planted], found: list[list[tuple[int, int]]]) -> str:
    right = [
        any(start < last and first < end for first, last, _ in one.spans)
        for one, spans in zip(notes, found, strict=True)
        for start, end in spans
    ]
    return share(sum(right), len(right))


def share(hits: int, of: int) -> str:
    ends = binomtest(hits, of).proportion_ci(method="wilson")
    return f"{hits / of:.3f} [{ends.low:.3f}-{ends.high:.3f}] of {of}"


def pixels() -> Iterator[str]:
    """Text burned into every picture that is at hand, once a size; and how many seem to show some as they are."""
    paths = sorted((SHARED / "dicom").iterdir()) + sorted((SHARED / "cxr_cases" / "images").iterdir())
    pictures = [(path.name, frame) for path in paths for frame in decoded(path)]
    began = time.perf_counter()
    told = [name for name, frame in pictures if text_boxes(frame[np.newaxis])]
    took = 1000 * (time.perf_counter() - began) / len(pictures)
    rng = random.Random(SEED)
    yield (
        f"{len(pictures)} real pictures (CT, CR, DX, chest films of at most 512 pixels). As they are, {len(told)} "
        f"are said to show text. {AS_THEY_ARE} {share(0, len(pictures) - len(told))} of the others. "
        f"{took:.0f} ms a picture. {BURNED}"
    )
    yield from ("", f"| height of the font, pixels | {' | '.join(BACKGROUNDS)} |", "|---|---|---|---|")
    for size in SIZES:
        hits = [burned(frame, rng, size) for _, frame in pictures if frame.shape[1] > 250]
        cells = [[hit for hit, ground in hits if ground == name] for name in BACKGROUNDS]
        yield f"| {size} | {' | '.join(share(sum(cell), len(cell)) for cell in cells)} |"


def decoded(path: Path) -> Iterator[np.ndarray]:
    try:
        yield read_picture(path.read_bytes()).frames[0]
    except ClinicalMMError:
        return


def burned(frame: np.ndarray, rng: random.Random, size: int) -> tuple[bool, str]:
    """Whether the text is found, and how bright it is behind it."""
    canvas = Image.new("L", (frame.shape[1], frame.shape[0]))
    font, text = ImageFont.load_default(size), rng.choice(TEXTS)
    width = round(font.getlength(text))
    left = rng.randrange(0, max(1, frame.shape[1] - width))
    top = rng.choice((4, frame.shape[0] - 2 * size, rng.randrange(0, frame.shape[0] - 2 * size)))
    ImageDraw.Draw(canvas).text((left, top), text, fill=255, font=font)
    letters = np.asarray(canvas, dtype=np.float32) / 255
    shown = frame + letters * (frame.max() - frame)
    inside = np.zeros(frame.shape, dtype=bool)
    for first, upper, last, lower in text_boxes(shown[np.newaxis]):
        inside[upper:lower, first:last] = True
    low, high = np.percentile(frame, (0.1, 99.9))
    behind = (frame[top : top + size, left : left + width].mean() - low) / (high - low)
    ground = next(name for name, end in BACKGROUNDS.items() if behind < end)
    return bool((letters * inside).sum() >= 0.9 * letters.sum()), ground
