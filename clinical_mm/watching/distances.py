"""How far the cases held back in training lay from those that taught, as a bundle keeps it; read without torch.

What notes say, and what images show, is compared by one number a case: its distance from the training cases in the
model's own space (``cautions/region.py``), beside the same of the cases held back. A shift of meaning leads away from
the training cases; one that does not - more notes of a kind that was known - moves what the model answers, which is
watched too. Source: two-sample tests of one number at a time after a reduction of dimension, Rabanser et al., 2019
(Failing Loudly, arXiv:1810.11953), who find the model's own answers the best such reduction. A test over whole vectors
(maximum mean discrepancy, Gretton et al., 2012) would have to keep the vectors of patients' notes.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from clinical_mm.bundle_layout import CAUTIONS
from clinical_mm.errors import InvalidBundle

_OWNER, _ARRAY = "unlike_training", "held_back"


def held_back(bundle: Path) -> dict[str, list[float]]:
    """Strangeness of the cases held back, by modality; of a model that keeps none, none. Raises InvalidBundle."""
    path = bundle / CAUTIONS
    if not path.exists():
        return {}
    try:
        with safe_open(path, "np") as file:
            names = [key.split(".") for key in file.keys()]  # noqa: SIM118 - no mapping, it has keys alone
            modalities = [parts[1] for parts in names if (parts[0], parts[-1]) == (_OWNER, _ARRAY)]
            return {name: file.get_tensor(f"{_OWNER}.{name}.{_ARRAY}").astype(float).tolist() for name in modalities}
    except (SafetensorError, ValueError, IndexError, OSError) as error:
        raise InvalidBundle(f"{path}: not readable: {error}") from error
