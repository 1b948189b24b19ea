"""A new task from an old model: every tensor that fits is taken over, and what was not is told.

What stands for something - a vital's row, a diagnosis' row of the head, a modality's row of the fusion - is taken over
by its name, so that another order or another choice of them mixes nothing up.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from clinical_mm.bundle import Bundle
from clinical_mm.bundle_layout import SPLIT, read_json
from clinical_mm.modalities.base import Modality
from clinical_mm.network import MultimodalNetwork

Rows = Mapping[str, Sequence[str]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StartedFrom:
    """The account: names as in the state dict; ``encoders.text`` = all below it, ``head.1.bias[copd]`` = that row.

    Attributes:
        name: of the old model's configuration.
        sha256: of its weights.
        reused: taken over.
        new: as a fresh network has it, since the old one has nothing that fits.
        dropped: the old model's, of no use here.
    """

    name: str
    sha256: str
    reused: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]

    def __str__(self) -> str:
        reused, new, dropped = (", ".join(names) or "nothing" for names in (self.reused, self.new, self.dropped))
        return f"started from {self.name}: re-used {reused}; new {new}; dropped {dropped}"

    def to_json(self) -> dict[str, Any]:
        """Plain data for a card."""
        lists = {"reused": list(self.reused), "new": list(self.new), "dropped": list(self.dropped)}
        return {"name": self.name, "sha256": self.sha256, **lists}


def start_from(
    old: Bundle, network: MultimodalNetwork, modalities: Mapping[str, Modality], diagnoses: Sequence[str]
) -> StartedFrom:
    """Copy into ``network`` what of an old model fits: same name and same shape, or same name and some of the rows.

    Args:
        old: the model to start from.
        network: a fresh one, still without adapters; changed in place.
        modalities: the new model's; one that reads another language than the old one's gets nothing of its encoder.
        diagnoses: the new model's, in the order of its head's rows.
    """
    theirs = {n: v for n, v in old.network.state_dict().items() if not n.startswith(_strange(old, modalities))}
    mine = dict(network.state_dict())
    account = _Account()
    their_rows, my_rows = _rows(old.network, old.modalities, old.diagnoses), _rows(network, modalities, diagnoses)
    for name in mine.keys() & theirs.keys():
        if name in my_rows and name in their_rows and mine[name].shape[1:] == theirs[name].shape[1:]:
            mine[name] = account.rows(name, (mine[name], my_rows[name]), (theirs[name], their_rows[name]))
        elif name not in my_rows and mine[name].shape == theirs[name].shape:
            mine[name] = theirs[name]
            account.whole.add(name)
    network.load_state_dict(mine)
    told = account.told(old, mine)
    _log.info("%s", told)
    return told


def cases_that_taught(old: Bundle) -> set[str]:
    """Ids of the cases that a model has seen with their labels: a test part that holds one of them is no fair judge."""
    parts = read_json(old.folder / SPLIT)
    return {*parts["train"], *parts["validation"]}


@dataclass
class _Account:
    """Which tensors were taken over whole, and of which only some rows."""

    whole: set[str] = field(default_factory=set)
    reused: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    partly: set[str] = field(default_factory=set)

    def rows(self, name: str, new: tuple[Tensor, Sequence[str]], old: tuple[Tensor, Sequence[str]]) -> Tensor:
        """The new tensor ``[R, ...]`` with the rows that both have, taken by what they stand for."""
        (mine, my_rows), (theirs, their_rows) = new, old
        common = [row for row in my_rows if row in their_rows]
        if not common:
            return mine
        taken = mine.clone()
        for row in common:
            taken[my_rows.index(row)] = theirs[their_rows.index(row)]
        if set(my_rows) == set(their_rows):
            self.whole.add(name)
            return taken
        self.partly.add(name)
        self.reused += _named(name, common)
        self.new += _named(name, [row for row in my_rows if row not in common])
        self.dropped += _named(name, [row for row in their_rows if row not in common])
        return taken

    def told(self, old: Bundle, mine: Collection[str]) -> StartedFrom:
        """What became of all tensors of either."""
        theirs = old.network.state_dict().keys()
        touched = self.whole | self.partly
        lists = (
            fold(self.whole, mine) + sorted(self.reused),
            fold(set(mine) - touched, mine) + sorted(self.new),
            fold(set(theirs) - touched, theirs) + sorted(self.dropped),
        )
        return StartedFrom(old.config.name, old.sha256, *map(tuple, lists))


def fold(chosen: Collection[str], everything: Collection[str]) -> list[str]:
    """Dotted names, told as the prefix above them wherever all of ``everything`` below that prefix is chosen."""
    rest = {prefix for name in everything if name not in chosen for prefix in _prefixes(name)}
    return sorted({next(prefix for prefix in _prefixes(name) if prefix not in rest) for name in chosen})


def _named(name: str, rows: Sequence[str]) -> list[str]:
    return [f"{name}[{', '.join(rows)}]"] if rows else []


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _strange(old: Bundle, modalities: Mapping[str, Modality]) -> tuple[str, ...]:
    both = [name for name in modalities if name in old.modalities]
    return tuple(f"encoders.{name}." for name in both if not modalities[name].reads_alike(old.modalities[name]))


def _rows(network: MultimodalNetwork, modalities: Mapping[str, Modality], diagnoses: Sequence[str]) -> Rows:
    """What the rows of a tensor stand for, of those whose rows stand for something."""
    encoders = {f"encoders.{name}.{p}": rows for name, part in modalities.items() for p, rows in part.rows().items()}
    fusion = {f"fusion.{parameter}": rows for parameter, rows in network.fusion.rows().items()}
    return {**encoders, **fusion, **dict.fromkeys(("head.1.weight", "head.1.bias"), diagnoses)}
