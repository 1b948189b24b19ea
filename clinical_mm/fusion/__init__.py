"""Ways to join the tokens of several modalities, one file each. A new one: its file, and one line in ``FUSIONS``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from clinical_mm.errors import InvalidConfig
from clinical_mm.fusion.base import Fused, Fusion
from clinical_mm.fusion.concat import Concat
from clinical_mm.fusion.cross_attention import CrossAttention
from clinical_mm.fusion.gated import Gated
from clinical_mm.fusion.weighted import Weighted

__all__ = ["FUSIONS", "Fused", "Fusion", "fusion"]

FUSIONS: dict[str, type[Fusion]] = {
    "cross_attention": CrossAttention,
    "concat": Concat,
    "weighted": Weighted,
    "gated": Gated,
}


def fusion(name: str, widths: Mapping[str, int], options: Mapping[str, Any]) -> Fusion:
    """The fusion of that name for modalities of these token widths; raises InvalidConfig."""
    if name not in FUSIONS:
        raise InvalidConfig(f"unknown fusion {name!r}; known: {', '.join(FUSIONS)}")
    try:
        return FUSIONS[name](widths, options)
    except ValidationError as error:
        raise InvalidConfig(f"fusion {name}: {error}") from error
