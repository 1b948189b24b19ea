"""What the model would read and the case does not have."""

from __future__ import annotations

from collections.abc import Iterator

from clinical_mm.answers import Caution
from clinical_mm.cautions.base import READERS_WORD, Check, Seen


class Absent(Check):
    """``image-missing``, ``note-missing``, ``vitals-missing``: the answer rests on the rest."""

    def cautions(self, seen: Seen) -> Iterator[Caution]:
        """One for each modality that is absent."""
        word = {name: READERS_WORD.get(name, name) for name in seen.sample}
        rest = " and ".join(dict.fromkeys(word[name] for name, part in seen.sample.items() if part is not None))
        for absent in dict.fromkeys(word[name] for name, part in seen.sample.items() if part is None):
            yield Caution(f"{absent}-missing", f"no {absent}: the probability rests on {rest} alone")
