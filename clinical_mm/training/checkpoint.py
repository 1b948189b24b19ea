"""Epoch checkpoints: safetensors and JSON, written beside and renamed, so that a kill leaves the old or the new one.

Only what is trained is stored; frozen encoders, and weights that have adapters beside them, are as they were loaded.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from clinical_mm.bundle import save_weights
from clinical_mm.network import MultimodalNetwork


@dataclass
class Position:
    """Where a training is: epochs done, the best of them, the losses so far, and what each modality tells alone."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    history: list[dict[str, float]] = field(default_factory=list)
    told: dict[str, float] = field(default_factory=dict)


def trained_state(network: MultimodalNetwork) -> dict[str, Tensor]:
    """Weights and buffers of everything that training changes."""
    learned = network.learned_names()
    return {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items() if k in learned}


def load_trained_state(network: MultimodalNetwork, path: Path) -> None:
    """Put back what ``trained_state`` gave."""
    network.load_state_dict(load_file(path), strict=False)


def save_checkpoint(
    folder: Path, network: MultimodalNetwork, optimizer: torch.optim.Optimizer, position: Position
) -> None:
    """Store the last epoch, and keep its weights as the best where they are."""
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    weights = trained_state(network)
    save_weights(weights, fresh / "last.safetensors")
    if position.best_epoch == position.epoch:
        save_weights(weights, fresh / "best.safetensors")
    else:
        shutil.copyfile(folder / "best.safetensors", fresh / "best.safetensors")
    tensors, groups = _flat(optimizer)
    save_weights(tensors, fresh / "optimizer.safetensors")
    (fresh / "state.json").write_text(json.dumps({"position": asdict(position), "groups": groups}), encoding="utf-8")
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, network: MultimodalNetwork, optimizer: torch.optim.Optimizer) -> Position:
    """Go on where ``save_checkpoint`` stopped; the start where there is nothing."""
    old = folder.with_name(f"{folder.name}.old")
    if not folder.exists() and old.exists():  # killed between the two renames
        old.rename(folder)
    if not (folder / "state.json").exists():
        return Position()
    data = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    load_trained_state(network, folder / "last.safetensors")
    _restore(optimizer, load_file(folder / "optimizer.safetensors"), data["groups"])
    return Position(**data["position"])


def load_best(folder: Path, network: nn.Module) -> None:
    """The weights of the best epoch."""
    network.load_state_dict(load_file(folder / "best.safetensors"), strict=False)


def _flat(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{key}": value.detach().cpu().contiguous()
        for index, values in state["state"].items()
        for key, value in values.items()
    }
    return tensors, state["param_groups"]


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
