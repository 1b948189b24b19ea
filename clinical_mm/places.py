"""Where the cases that taught a model lie in its space, so that a new case's likes can be found.

Shapes: N cases, W width of the space.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from clinical_mm.errors import InvalidBundle


@dataclass(frozen=True)
class Places:
    """Names of cases and a unit vector of each, ``float32[N, W]``."""

    names: tuple[str, ...]
    vectors: np.ndarray

    def nearest(self, vector: np.ndarray, limit: int | None) -> list[tuple[str, float]]:
        """The cases closest to a unit ``vector[W]`` with their cosine similarity, -1 to 1, closest first."""
        if not self.names:
            return []
        similarity = self.vectors @ vector
        closest = np.argsort(-similarity, kind="stable")[:limit]
        return [(self.names[i], float(similarity[i])) for i in closest]

    def similarity(self, vectors: np.ndarray) -> np.ndarray | None:
        """Cosine of unit ``vectors[B, W]`` with the closest of the cases, ``float32[B]``; None where there are none."""
        if not self.names:
            return None
        return np.asarray((vectors @ self.vectors.T).max(1))

    def save(self, path: Path) -> None:
        """Write one safetensors file, half precision; the names stand in its header."""
        save_file({"vectors": self.vectors.astype(np.float16)}, path, metadata={"names": json.dumps(self.names)})

    @classmethod
    def load(cls, path: Path) -> Places:
        """Read what ``save`` wrote; none where there is no such file. Raises InvalidBundle."""
        if not path.exists():
            return cls((), np.zeros((0, 1), np.float32))
        try:
            with safe_open(path, "np") as file:
                names = tuple(json.loads((file.metadata() or {})["names"]))
                return cls(names, file.get_tensor("vectors").astype(np.float32))
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise InvalidBundle(f"{path}: not readable: {error}") from error
