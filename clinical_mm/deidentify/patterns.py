"""What looks like an identifier in a note, by its form alone.

Source: the eighteen kinds of HIPAA 45 CFR 164.514(b)(2)(i); names only where a title, a degree or a word such as
``attending:`` announces them, since any other capital may be a disease.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = r"\b[A-Z][\w'’]{1,30}(?:-[A-Z][\w'’]{1,30})?(?![\w-])"
"""Its length is bounded, and so is each pattern's: a note of a million letters must not take longer than it is long."""
_INITIAL = r"[A-Z]\."
_PERSON = rf"(?:{_INITIAL}[ \t]*){{0,3}}{_WORD}(?:[ \t]+(?:{_INITIAL}[ \t]*)?{_WORD}){{0,2}}"
_FULL = rf"{_WORD}(?:[ \t]+{_INITIAL})?(?:[ \t]+{_WORD}){{1,2}}"
_LEAD = (
    r"(?:patient(?:'s)? name|patient|name|attending(?: physician)?|physician|surgeon|assistant|provider|resident|"
    r"dictated by|signed(?: by)?|electronically signed by|referred by|referring physician|seen by|reviewed with|"
    r"discussed with|reported by|cc|contact|next of kin|emergency contact|radiologist|pcp)"
)
_KIN = r"(?:wife|husband|spouse|son|daughter|mother|father|sister|brother|partner|friend|aunt|uncle)"
_NUMBER_LEAD = (
    r"(?:mrn|m\.r\.n\.|medical record(?: number| no\.?)?|patient id|pt id|id|account|acct|accession|acc|record|chart|"
    r"case|visit|encounter|policy|insurance|member|license|licence|dea|npi|ssn|social security)"
)
_NO_AGE = r"(?!\d{1,3}-(?:year|month|week|day)s?-old\b)"
"""As in "An interesting case. 68-year-old male"."""
_STREET = r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Court|Ct|Way|Place|Pl|Square|Terrace|Parkway)"

PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("EMAIL", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")),
    ("URL", re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"')\]]{0,2000}[^\s<>\"')\].,;:]", re.IGNORECASE)),
    ("IP", re.compile(r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])")),
    ("ID", re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")),
    ("PHONE", re.compile(r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,5}\) ?|\d{2,5}[ ./-])\d{3,4}[ .-]\d{3,5}(?![\w%])")),
    ("PHONE", re.compile(r"(?<![\w.-])\d{3}-\d{4}(?![\w-])")),
    (
        "PHONE",
        re.compile(
            r"\b(?:tel|telephone|phone|fax|pager|beeper|mobile|cell|extension|ext)\b[.:#\s]{0,3}"
            r"(?P<kept>\+?\(?\d[\d\s()./-]{2,18}\d)",
            re.IGNORECASE,
        ),
    ),
    (
        "ID",
        re.compile(
            rf"\b{_NUMBER_LEAD}\b[\s:#.]{{0,3}}(?:no\.?|number|num|id)?[\s:#.]{{0,3}}{_NO_AGE}"
            r"(?P<kept>[A-Z]{0,4}-?\d[\w-]{3,40})",
            re.IGNORECASE,
        ),
    ),
    ("ID", re.compile(r"(?<![\w.,/-])\d{7,}(?![\w.,])")),
    ("ID", re.compile(r"(?<![\w-])[A-Z]{1,4}-?\d{5,}(?![\w-])")),
    ("PLACE", re.compile(rf"(?<!\w)\d{{1,5}}[ \t]+(?:{_WORD}[ \t]+){{1,4}}{_STREET}\b\.?")),
    ("PLACE", re.compile(r"\b[A-ZÄÖÜ][a-zäöüß-]{1,60}(?:straße|strasse|str\.|weg|platz|allee|gasse)[ \t]+\d+\w?\b")),
    ("PLACE", re.compile(rf"{_WORD}(?:[ \t]{_WORD}){{0,2}},?[ \t]+[A-Z]{{2}}[ \t]+\d{{5}}(?:-\d{{4}})?\b")),
    ("NAME", re.compile(rf"\b(?:Dr|Mr|Mrs|Ms|Prof|DR|MR|MRS|MS|PROF)\b\.?[ \t]*(?P<kept>{_PERSON})")),
    ("NAME", re.compile(rf"\b(?:Miss|Doctor|Nurse|Professor|Herrn?|Frau|Sister)[ \t]+(?P<kept>{_PERSON})")),
    ("NAME", re.compile(rf"\b(?i:{_LEAD})[ \t]*:[ \t]*(?:(?:Dr|Mr|Mrs|Ms|Prof)\.?[ \t]*)?(?P<kept>{_FULL})")),
    ("NAME", re.compile(rf"\b(?i:dictated by|signed by|referred by|seen by|discussed with)[ \t]+(?P<kept>{_FULL})")),
    ("NAME", re.compile(rf"\b(?i:his|her|the patient's) {_KIN},? (?P<kept>{_WORD}(?:[ \t]+{_WORD})?)")),
    ("NAME", re.compile(rf"(?P<kept>{_FULL}),?[ \t]+(?:M\.?D|D\.?O|R\.?N|Ph\.?D|PA-C|N\.?P|FACS|MBBS)\b")),
)
"""Kind -> what it looks like; where a pattern has a group, only that is the identifier."""


def spans(note: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, kind) of whatever looks like an identifier; they may overlap."""
    for kind, pattern in PATTERNS:
        group = "kept" if "kept" in pattern.groupindex else 0
        for found in pattern.finditer(note):
            yield *found.span(group), kind
