"""What a model's YAML says of a search: how many trials, judged by what, over which values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import permutations
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Number = Annotated[int | float, Field(allow_inf_nan=False)]

UNSEARCHED = {
    "name": "it changes nothing that is measured",
    "description": "it changes nothing that is measured",
    "task": "another task is another question, whose scores do not compare",
    "search": "a search does not search for itself",
    "training.seed": "the best of several seeds is luck, not a better setting",
    "training.test_fraction": "other cases would judge, and scores on other cases do not compare",
    "training.validation_fraction": "other cases would judge, and scores on other cases do not compare",
    "training.members": "a trial trains one network, whose members only the final training adds",
    "training.coverage": "it changes nothing that is measured",
}
"""Dotted names that no space may hold, or any name below, and why."""
OTHER_LOSSES = ("training.class_weights", "training.focal_gamma")
"""They change what the loss means, so that losses of two trials do not compare."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(_Part):
    """Numbers from ``low`` to ``high``, both included; whole ones where both, and ``step``, are written as such.

    Attributes:
        log: draw by order of magnitude: as many between 0.001 and 0.01 as between 0.01 and 0.1.
        step: only ``low``, ``low + step``, ...
    """

    low: Number
    high: Number
    log: bool = False
    step: Number | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _is_one(self) -> Span:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must lie below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log wants a low above 0, not {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        low, high, step = (Decimal(str(n)) for n in (self.low, self.high, self.step or 1))
        if self.step is not None and (high - low) % step:
            raise ValueError(f"steps of {step} from low {low} do not meet high {high}")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether only integers are drawn."""
        return all(isinstance(n, int) for n in (self.low, self.high, self.step or 1))

    def holds(self, value: Any) -> bool:
        """Whether it may be drawn."""
        if isinstance(value, bool) or not isinstance(value, int if self.is_whole else int | float):
            return False
        away = Decimal(str(value)) - Decimal(str(self.low))
        return self.low <= value <= self.high and (self.step is None or not away % Decimal(str(self.step)))

    def probes(self) -> tuple[Any, ...]:
        """Both ends and a number between: where one is refused, the range is not for this value."""
        between = self.low + (self.high - self.low) * (0 if self.is_whole or self.step else 0.37)
        return self.low, self.high, int(between) if self.is_whole else between


class Choices(_Part):
    """One of these, each any value that YAML can write."""

    choices: tuple[Any, ...] = Field(min_length=2)

    def holds(self, value: Any) -> bool:
        """Whether it may be drawn."""
        return value in self.choices

    def probes(self) -> tuple[Any, ...]:
        """Each of them."""
        return self.choices


def _kind(given: Any) -> str:
    has_choices = "choices" in given if isinstance(given, Mapping) else isinstance(given, Choices)
    return "choices" if has_choices else "range"


Values = Annotated[Annotated[Span, Tag("range")] | Annotated[Choices, Tag("choices")], Discriminator(_kind)]


class SearchConfig(_Part):
    """A search before the training; it sees the training and the validation part, never the test part.

    Attributes:
        trials: trainings that are tried; 0 = no search.
        metric: what the best trial is best at, on the validation part.
        pruning: end a trial whose epochs lie below the median of those before it.
        startup_trials: so many are drawn at random, and none is pruned before so many have come to their end.
        warmup_epochs: no trial is pruned before its epoch after these.
        space: dotted name -> the values that are tried, ``{low, high, log, step}`` or ``{choices: [...]}``.
    """

    trials: int = Field(0, ge=0, le=10_000)
    metric: Literal["validation_auroc", "validation_loss"] = "validation_auroc"
    pruning: bool = True
    startup_trials: int = Field(8, ge=1)
    warmup_epochs: int = Field(2, ge=0)
    space: dict[str, Values] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_searchable(self) -> SearchConfig:
        if self.trials and not self.space:
            raise ValueError("trials without a space: say under space which values to try")
        faults = [f"{name}: {why}" for name in self.space for why in self._why_not(name)]
        faults += [f"{a} lies within {b}" for a, b in permutations(self.space, 2) if a.startswith(f"{b}.")]
        if faults:
            raise ValueError(f"cannot be searched: {'; '.join(faults)}")
        return self

    def _why_not(self, name: str) -> Iterator[str]:
        yield from (why for fixed, why in UNSEARCHED.items() if name == fixed or name.startswith(f"{fixed}."))
        if self.metric == "validation_loss" and name in OTHER_LOSSES:
            yield "losses of different kinds do not compare; take metric: validation_auroc"


def own_values(data: Mapping[str, Any], space: Mapping[str, Span | Choices]) -> dict[str, Any] | None:
    """What a configuration, as plain data, says itself of the values that are searched; None where the space lacks it.

    That is the baseline of a search.
    """
    found: dict[str, Any] = {}
    for name, part in space.items():
        value: Any = data
        for key in name.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if not part.holds(value):
            return None
        found[name] = value
    return found


def is_value_of(part: Any, dotted: str) -> bool:
    """Whether a configuration has, or may have, such a value: options of a fusion or a modality are free in name."""
    key, _, rest = dotted.partition(".")
    if isinstance(part, BaseModel):
        found = getattr(part, key) if key in type(part).model_fields else None
        known = found is not None and (key != "modalities" or rest.partition(".")[0] in found)
        return known and (not rest or is_value_of(found, rest))
    return isinstance(part, dict) and bool(key) and (not rest or is_value_of(part.get(key, {}), rest))
