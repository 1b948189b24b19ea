"""A tiny model, really trained: what tests of the predictor, the service and the pages stand on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clinical_mm.config import ModelConfig
from clinical_mm.importing.folder import write_folder
from clinical_mm.phantom import draw

CASES = 60


def tiny_config(**changes: Any) -> ModelConfig:
    """Image, note and vitals through the smallest networks that still learn something; ``changes`` replace parts.

    Explainers are not judged unless ``training`` says so: that takes longer than the training.
    """
    imaging = {
        "size": [32, 32],
        "network": {"name": "DenseNet", "options": {"init_features": 8, "growth_rate": 4, "block_config": [2, 2]}},
    }
    config: dict[str, Any] = {
        "name": "tiny",
        "description": "For tests.",
        "modalities": {
            "imaging": imaging,
            "text": {"model": "minilm", "max_tokens": 64, "stride": 16, "layers": 2, "frozen": True},
            "vitals": {"width": 16},
        },
        "fusion": {"name": "cross_attention", "options": {"width": 32, "queries": 2, "layers": 1, "heads": 2}},
        "training": {
            "epochs": 4,
            "batch_size": 16,
            "learning_rate": 0.003,
            "encoder_learning_rate": 0.003,
        },
    }
    whole = {**config, **changes}
    return ModelConfig.parse({**whole, "training": {"judged_cases": 0, **whole["training"]}})


def phantom_folder(folder: Path, count: int = CASES, seed: int = 0) -> Path:
    """Synthetic cases in the plain layout: what a training snapshot looks like."""
    write_folder((drawn.case for drawn in draw(count, seed)), folder)
    return folder


def train_tiny(folder: Path) -> Path:
    """Train the tiny configuration; gives the bundle's folder."""
    from clinical_mm.training.run import train

    snapshot = phantom_folder(folder / "snapshot")
    return train(tiny_config(), snapshot, folder / "out", device="cpu", progress=lambda _: None).folder
