"""Numbers as they are shown: to so many digits, and sums that stay sums.

What is stored keeps its digits, since metrics are taken from it. Fewer digits claim less, and give away less of a model
to someone who asks it again and again.
"""

from __future__ import annotations

from collections.abc import Sequence


def rounded(value: float | None, digits: int) -> float | None:
    """A number to so many digits; None stays None."""
    return None if value is None else round(value, digits)


def rounded_to_sum(values: Sequence[float], total: float, digits: int) -> list[float]:
    """Numbers rounded so that they sum to the rounded ``total``, exactly where it is their sum but for rounding.

    Each is its value rounded up or down; what is left over goes to those that rounding has moved most, never to a 0.
    Source: the method of the largest remainder.
    """
    unit = 10**digits
    units = [round(round(value, digits) * unit) for value in values]  # a half goes as ``rounded`` has it go
    left = round(round(total, digits) * unit) - sum(units)
    step = 1 if left > 0 else -1
    moved = sorted(range(len(values)), key=lambda i: step * (units[i] - values[i] * unit))
    for i in [i for i in moved if values[i] != 0][: abs(left)]:
        units[i] += step
    return [n / unit for n in units]
