"""Alignment before fusion: encoders learn, from cases without labels too, what belongs together.

Like the supervised epochs, each draws from (seed, epoch) alone and leaves a checkpoint: a killed run goes on.
Shapes: B cases, M modalities, W width of the space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinical_mm.alignment import Aligner, retrieval
from clinical_mm.config import ModelConfig
from clinical_mm.errors import Cancelled
from clinical_mm.network import MultimodalNetwork
from clinical_mm.training.checkpoint import load_checkpoint, save_checkpoint
from clinical_mm.training.data import Feed, TrainingData
from clinical_mm.training.prepared import Prepared
from clinical_mm.training.progress import Reporter

EVALUATION_BATCH, FEWEST_TO_CHECK = 64, 10
FIRST_SEED = 50_000
"""Alignment's epochs draw from other seeds than those of the training that follows."""


def align(  # noqa: PLR0913, PLR0917 - the parts of one training, named
    network: MultimodalNetwork,
    prepared: Prepared,
    config: ModelConfig,
    device: torch.device,
    folder: Path,
    reporter: Reporter,
    cancelled: Callable[[], bool],
) -> dict[str, Any] | None:
    """Train encoders and aligner; gives how many cases and each epoch's loss, None without one. Raises Cancelled."""
    aligner, chosen, rows = network.aligner, config.alignment, prepared.for_alignment
    if aligner is None:
        return None
    learns = [p for p in (*network.encoders.parameters(), *aligner.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(learns, lr=chosen.learning_rate, weight_decay=config.training.weight_decay)
    position = load_checkpoint(folder, network, optimizer)
    while position.epoch < chosen.epochs:
        epoch = position.epoch + 1
        losses = [
            _step(network, aligner, prepared.data.feed(batch, device, draw), optimizer)
            for batch, draw in _batches(rows, config.training.seed, epoch, chosen.batch_size, cancelled)
        ]
        position.epoch = position.best_epoch = epoch
        position.history.append({"epoch": epoch, "alignment_loss": float(np.mean(losses))})
        save_checkpoint(folder, network, optimizer, position)
        reporter.metrics = {"alignment_loss": round(float(np.mean(losses)), 4)}
        reporter.step("aligning", epoch, chosen.epochs)
    return {"cases": len(rows), "history": position.history}


def retrieval_check(network: MultimodalNetwork, prepared: Prepared, device: torch.device) -> dict[str, Any]:
    """How often one modality of an unseen case finds another of the same case: recall at 1 and at 10, and chance."""
    unseen = (*prepared.parts.validation, *prepared.parts.test)
    vectors_BMW = shared_vectors(network, prepared.data, unseen, device)
    present, checked = prepared.data.present[list(unseen)], {}
    for (a, one), (b, two) in combinations(list(enumerate(network.names)), 2):
        rows = np.nonzero(present[:, a] & present[:, b])[0]
        if len(rows) >= FEWEST_TO_CHECK:
            pair = vectors_BMW[rows, a], vectors_BMW[rows, b]
            checked[f"{one} to {two}"] = {
                "cases": len(rows),
                "recall_at_1": round(retrieval(*pair, first=1), 4),
                "recall_at_10": round(retrieval(*pair, first=10), 4),
                "chance_at_10": round(10 / len(rows), 4),
            }
    return checked


def shared_vectors(network: MultimodalNetwork, data: TrainingData, rows: Sequence[int], device: torch.device) -> Tensor:
    """``[B, M, W]`` of these cases in the shared space; raises ValueError for a network without an aligner."""
    if network.aligner is None:
        raise ValueError("this network was not aligned")
    network.eval()
    found = []
    with torch.no_grad():
        for start in range(0, len(rows), EVALUATION_BATCH):
            feed = data.feed(rows[start : start + EVALUATION_BATCH], device)
            tokens = {**network.encode(feed.batches), **feed.cached}
            found.append(network.aligner(tokens, feed.present_BM).cpu())
    return torch.cat(found)


def _batches(
    rows: Sequence[int], seed: int, epoch: int, size: int, cancelled: Callable[[], bool]
) -> Iterator[tuple[list[int], torch.Generator]]:
    torch.manual_seed(seed * 100_003 + FIRST_SEED + epoch)
    draw = torch.Generator().manual_seed(seed * 100_003 + FIRST_SEED + epoch)
    order = np.array(rows)[torch.randperm(len(rows), generator=draw).numpy()]
    for start in range(0, len(order), size):
        if cancelled():
            raise Cancelled("training was cancelled")
        yield order[start : start + size].tolist(), draw


def _step(network: MultimodalNetwork, aligner: Aligner, feed: Feed, optimizer: torch.optim.Optimizer) -> float:
    network.train()
    tokens = {**network.encode(feed.batches), **feed.cached}
    loss = aligner.loss(tokens, feed.present_BM).total
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())
