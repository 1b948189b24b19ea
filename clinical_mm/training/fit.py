"""The training loop: AdamW, warm-up and cosine decay, modality dropout, early stopping, a checkpoint an epoch.

Every random draw of an epoch follows from (seed, epoch), so that a run that was killed and resumed ends where an
uninterrupted one does.
Shapes: B cases, K diagnoses, M modalities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clinical_mm.cautions import mean_states
from clinical_mm.config import TrainingConfig
from clinical_mm.errors import Cancelled, InvalidConfig
from clinical_mm.network import MultimodalNetwork, Output
from clinical_mm.training.balance import GradientBalance
from clinical_mm.training.checkpoint import Position, load_best, load_checkpoint, save_checkpoint
from clinical_mm.training.data import Feed, TrainingData
from clinical_mm.training.losses import Loss, class_weights, make_loss
from clinical_mm.training.progress import Reporter
from clinical_mm.training.removal import drop_modalities, drop_tokens
from clinical_mm.training.sampling import case_weights, draw_order, log_odds_shift
from clinical_mm.training.split import Split

EVALUATION_BATCH = 64
Measured = Callable[[int, Mapping[str, float]], None]
"""Told what each epoch measured."""
Heard = Callable[[int, float, np.ndarray], None]
"""Told at the end of each epoch: its number, the validation loss, and the validation part's ``logits[N, K]`` as the
finished model would give them. It may raise, which ends the training."""


def nobody(_epoch: int, _loss: float, _logits: np.ndarray) -> None:
    """Hear nothing of the epochs."""


class Fit:
    """One training: the network, its data, and how it is done."""

    def __init__(
        self,
        network: MultimodalNetwork,
        data: TrainingData,
        split: Split,
        kind: str,
        config: TrainingConfig,
        accelerator: Any,
    ) -> None:
        self.data, self.split, self.config, self.accelerator = data, split, config, accelerator
        self.device: torch.device = accelerator.device
        taught = data.targets[list(split.train)]
        self.weights = class_weights(kind, taught, weighted=config.class_weights)
        self.loss: Loss = make_loss(kind, self.weights, self.device, config.focal_gamma)
        self.sampling = case_weights(taught) if config.sampling == "balanced" else None
        self.shift = np.log(self.weights) + log_odds_shift(taught, self.sampling, kind)
        self.balance = GradientBalance(config.modality_balance, network.names, self._loss_of_shares(taught, kind))
        self.network = network
        optimizer = torch.optim.AdamW(_groups(network, config), weight_decay=config.weight_decay)
        self.model, self.optimizer = accelerator.prepare(network, optimizer)
        self.steps_an_epoch = max(1, math.ceil(len(split.train) / config.batch_size))

    def run(
        self,
        folder: Path,
        tell: Measured,
        reporter: Reporter,
        cancelled: Callable[[], bool],
        heard: Heard = nobody,
    ) -> Position:
        """Train to the end, or until validation has not improved for ``patience`` epochs; the best weights stay.

        Raises:
            Cancelled: ``cancelled`` said so, between two batches.
            InvalidConfig: the loss is no number any more.
        """
        position = load_checkpoint(folder, self.network, self.optimizer)
        self.balance.told.update(position.told)
        while position.epoch < self.config.epochs and position.epoch - position.best_epoch < self.config.patience:
            epoch = position.epoch + 1
            reporter.epoch = epoch
            train_loss = self._epoch(epoch, reporter, cancelled)
            loss, logits = self.validate(cancelled)
            if not math.isfinite(loss):
                raise InvalidConfig(f"training diverged in epoch {epoch}: lower training.learning_rate")
            position.epoch = epoch
            position.history.append({"epoch": epoch, "train_loss": train_loss, "validation_loss": loss})
            if loss < position.best_loss:
                position.best_epoch, position.best_loss = epoch, loss
            position.told = dict(self.balance.told)
            tell(epoch, {"train_loss": train_loss, "validation_loss": loss})  # first: what a kill repeats is no gap
            save_checkpoint(folder, self.network, self.optimizer, position)
            reporter.metrics = {"train_loss": round(train_loss, 4), "validation_loss": round(loss, 4)}
            heard(epoch, loss, logits - self.shift)
        load_best(folder, self.network)
        self._take_back_weights()
        return position

    @torch.no_grad()
    def logits(self, rows: Sequence[int], only: Collection[str] | None = None) -> np.ndarray:
        """``logits[N, K]`` of these cases; ``only``: these modalities alone are let in, if a case has any of them."""
        allowed_M = torch.tensor([only is None or name in only for name in self.network.names], device=self.device)
        found = [np.zeros((0, self.data.targets.shape[1]), np.float32)]
        for feed in self._feeds(rows):
            kept_BM = feed.present_BM & allowed_M
            present_BM = torch.where(kept_BM.any(1, keepdim=True), kept_BM, feed.present_BM)
            output: Output = self.model(feed.batches, present_BM, feed.cached)
            found.append(output.logits_BK.float().cpu().numpy())
        return np.concatenate(found)

    @torch.no_grad()
    def places(self, rows: Sequence[int]) -> np.ndarray:
        """``float32[N, W]``: where these cases lie in the space of similar cases."""
        found: list[np.ndarray] = []
        for feed in self._feeds(rows):
            output: Output = self.model(feed.batches, feed.present_BM, feed.cached)
            found.append(self.network.place(output, feed.present_BM).float().cpu().numpy())
        return np.concatenate(found)

    @torch.no_grad()
    def states(self, rows: Sequence[int]) -> dict[str, np.ndarray]:
        """``float32[N, D]`` by modality: mean tokens of those of the cases that have it."""
        found: dict[str, list[np.ndarray]] = {name: [] for name in self.network.names}
        for feed in self._feeds(rows):
            tokens = {**self.network.encode(feed.batches), **feed.cached}
            there_BM = feed.present_BM.cpu().numpy()
            for column, (name, mean_BD) in enumerate(mean_states({n: tokens[n] for n in found}).items()):
                found[name].append(mean_BD[there_BM[:, column]])
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def _feeds(self, rows: Sequence[int]) -> Iterator[Feed]:
        """Batches of these cases for a network that only answers: it is put into evaluation mode."""
        self.network.eval()
        for start in range(0, len(rows), EVALUATION_BATCH):
            yield self.data.feed(rows[start : start + EVALUATION_BATCH], self.device)

    def validate(self, cancelled: Callable[[], bool]) -> tuple[float, np.ndarray]:
        """Mean loss and ``logits[N, K]`` of the validation part."""
        if cancelled():
            raise Cancelled("training was cancelled")
        rows = list(self.split.validation)
        logits = self.logits(rows)
        targets_BK = torch.from_numpy(self.data.targets[rows]).to(self.device)
        return float(self.loss(torch.from_numpy(logits).to(self.device), targets_BK)), logits

    def _epoch(self, epoch: int, reporter: Reporter, cancelled: Callable[[], bool]) -> float:
        torch.manual_seed(self.config.seed * 100_003 + epoch)
        draw = torch.Generator().manual_seed(self.config.seed * 100_003 + epoch)
        order = np.array(self.split.train)[draw_order(len(self.split.train), self.sampling, draw)]
        self.model.train()
        losses = []
        for step in range(self.steps_an_epoch):
            if cancelled():
                raise Cancelled("training was cancelled")
            rows = order[step * self.config.batch_size : (step + 1) * self.config.batch_size].tolist()
            self._set_learning_rate((epoch - 1) * self.steps_an_epoch + step)
            losses.append(self._step(self.data.feed(rows, self.device, draw), draw))
            reporter.step("training", epoch - 1 + (step + 1) / self.steps_an_epoch, self.config.epochs)
        return float(np.mean(losses))

    def _step(self, feed: Feed, draw: torch.Generator) -> float:
        output: Output = self.model(feed.batches, feed.present_BM, feed.cached)
        loss = self.loss(output.logits_BK.float(), feed.targets_BK)
        if self.config.modality_dropout:  # the same tokens once more, some modalities left out: encoders cost most
            kept_BM = drop_modalities(feed.present_BM, self.config.modality_dropout, draw)
            tokens = drop_tokens(dict(output.tokens), self.network, self.config.token_dropout, draw)
            partial: Output = self.model({}, kept_BM, tokens)
            loss = (loss + self.loss(partial.logits_BK.float(), feed.targets_BK)) / 2
        if self.network.aligner is not None and self.network.aligner.kept:
            loss = loss + self.network.aligner.kept * self.network.aligner.loss(output.tokens, feed.present_BM).total
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        if self.config.modality_balance:
            self.balance.listen(self.network, output.tokens, feed.present_BM, feed.targets_BK, self.loss)
            self.balance.scale(self.network)
        self.accelerator.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _loss_of_shares(self, taught: np.ndarray, kind: str) -> float:
        """The loss of answering every case with the diagnoses' shares in the training part."""
        shares = taught.mean(0).clip(1e-6, 1 - 1e-6)
        constant = np.log(shares / (1 - shares)) if kind == "co-occurring" else np.log(shares)
        logits = torch.from_numpy(np.tile((constant + np.log(self.weights)).astype(np.float32), (len(taught), 1)))
        return float(self.loss(logits.to(self.device), torch.from_numpy(taught).to(self.device)))

    def _set_learning_rate(self, step: int) -> None:
        total = self.config.epochs * self.steps_an_epoch
        warm = max(1, round(total * self.config.warmup_fraction))
        decay = 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))
        factor = (step + 1) / warm if step < warm else decay
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor

    def _take_back_weights(self) -> None:
        """Class weights move the best logits by ln w, balanced sampling by its shift: the head's bias gives it back."""
        bias = self.network.head.get_parameter("1.bias")
        with torch.no_grad():
            bias.sub_(torch.from_numpy(self.shift).to(bias))


def _groups(network: MultimodalNetwork, config: TrainingConfig) -> list[dict[str, Any]]:
    encoders = [p for p in network.encoders.parameters() if p.requires_grad]
    others = [*network.fusion.parameters(), *network.head.parameters()]
    if network.aligner is not None:
        others += network.aligner.parameters()
    # A vitals encoder starts from nothing, as the fusion does; image and text encoders may start from pretraining.
    return [
        {"params": others, "lr": config.learning_rate, "base_lr": config.learning_rate},
        {"params": encoders, "lr": config.encoder_learning_rate, "base_lr": config.encoder_learning_rate},
    ]
