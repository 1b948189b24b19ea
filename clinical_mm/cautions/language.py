"""The note is in another language than the notes of the training part were."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from clinical_mm.answers import Caution
from clinical_mm.cautions.base import Check, Seen

LANGUAGES = {
    "af": "Afrikaans", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali",
    "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "gl": "Galician",
    "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh",
    "km": "Khmer", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ms": "Malay",
    "my": "Burmese", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian", "sr": "Serbian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian",
    "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""Languages that records are kept in. Latin is left out: half of anatomy reads as Latin."""
FEWEST_LETTERS = 30
LONGEST = 1000
"""Characters that are looked at: reading on costs time and changes no answer."""
SURE, RULED_OUT = 0.4, 0.02
"""Warned is where one other language has at least, and those known have together at most, this probability."""
_NOTES, _FEWEST_NOTES, _RARE = 500, 20, 0.01
_LETTER = re.compile(r"[^\W\d_]")
_ONE_AT_A_TIME = threading.Lock()


class Language(Check):
    """``other-language``. Short notes and those full of abbreviations say nothing.

    Source: langid.py, Lui and Baldwin, 2012 (naive Bayes over byte n-grams), in py3langid's retrained model; its
    probabilities are tempered by the length of the text.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._known: Counter[str] = Counter()

    def fit(self, taught: Sequence[Seen]) -> None:
        """Which languages the training notes are in, from at most 500 of them; too few: nothing is learned."""
        notes = [seen.case.note for seen in taught if seen.sample.get("text") is not None and seen.case.note]
        ranked = [probabilities(note) for note in notes[:: max(1, len(notes) // _NOTES)]]
        best = [max(found, key=found.__getitem__) for found in ranked if found and max(found.values()) >= SURE]
        counts = Counter(best) if len(best) >= _FEWEST_NOTES else Counter()
        self._known = Counter({name: n for name, n in counts.items() if n >= _RARE * len(best)})

    def state(self) -> dict[str, Any]:
        """How many notes were in each language."""
        return {"notes": dict(self._known)}

    def load(self, state: Mapping[str, Any], vectors: Mapping[str, np.ndarray]) -> None:
        """The languages known; what tells languages apart is loaded now, so that no case has to wait for it."""
        self._known = Counter({str(name): int(n) for name, n in state.get("notes", {}).items()})
        if self._known:
            _identifier()

    def cautions(self, seen: Seen) -> Iterator[Caution]:
        """One where the note is surely in none of the languages known."""
        if not self._known or seen.case.note is None or seen.sample.get("text") is None:
            return
        found = probabilities(seen.case.note)
        best = max(found, key=found.__getitem__, default="")
        if best and found[best] >= SURE and sum(found[name] for name in self._known) <= RULED_OUT:
            known = " and ".join(LANGUAGES[name] for name, _ in self._known.most_common())
            yield Caution("other-language", f"the note reads as {LANGUAGES[best]}; the model learned from {known}")


def probabilities(text: str) -> dict[str, float]:
    """Each language's probability; empty where the text has fewer than 30 letters."""
    start = text[:LONGEST]
    if len(_LETTER.findall(start)) < FEWEST_LETTERS:
        return {}
    return {name: float(p) for name, p in _identifier().rank(start)}


def _identifier() -> Any:
    with _ONE_AT_A_TIME:
        return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    found.set_languages(LANGUAGES)
    return found
