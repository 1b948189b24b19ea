"""One learning: from a fresh network, or the members of a committee, to one that is whole and plain."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clinical_mm.committee import another_member, check_members, join_members
from clinical_mm.config import ModelConfig
from clinical_mm.device import choose_device
from clinical_mm.network import MultimodalNetwork, build_network
from clinical_mm.training.adapt import cases_that_taught, start_from
from clinical_mm.training.align import align
from clinical_mm.training.checkpoint import Position
from clinical_mm.training.fit import Fit, Heard, nobody
from clinical_mm.training.prepared import Prepared
from clinical_mm.training.progress import Reporter
from clinical_mm.training.reproducible import circumstances
from clinical_mm.training.request import ALIGNMENT, CHECKPOINT, Request
from clinical_mm.training.split import rotations
from clinical_mm.training.stacking import stack

Cancelling = Callable[[], bool]


@dataclass(frozen=True)
class Learned:
    """A network that has been trained, and what there is to tell of it.

    Attributes:
        fit: of the network as it will be saved.
        members: each network that was trained, with the cases that validated it; one, unless there is a committee.
        positions: where each member's training ended.
    """

    fit: Fit
    members: tuple[tuple[Fit, tuple[int, ...]], ...]
    positions: tuple[Position, ...]
    aligning: dict[str, Any] | None
    account: dict[str, Any]

    @property
    def validated(self) -> tuple[int, ...]:
        """The cases that validated any member."""
        return tuple(row for _, rows in self.members for row in rows)

    def validation_logits(self, only: Collection[str] | None = None) -> np.ndarray:
        """``logits[N, K]`` of the cases ``validated``, each by a network that had not learned from it."""
        return np.concatenate([fit.logits(rows, only) for fit, rows in self.members])

    def lasted(self) -> dict[str, Any]:
        """How long it took, for a card."""
        told = [{"epochs": p.epoch, "best_epoch": p.best_epoch, "history": p.history} for p in self.positions]
        return told[0] if len(told) == 1 else {**told[0], "members": told}


def learn(
    request: Request, prepared: Prepared, reporter: Reporter, cancelled: Cancelling, heard: Heard = nobody
) -> Learned:
    """One training; checkpoints in ``request.out``, where a killed one goes on. Raises what ``train`` raises."""
    config, data, out = request.config, prepared.data, request.out
    network, account = _network(request, prepared)
    device = choose_device(request.device)
    network.to(device)
    data.cache_frozen(
        network, device, lambda done, total: reporter.step("features", done, total), request.features, out
    )
    aligning = align(network, prepared, config, device, out / ALIGNMENT, reporter, cancelled)
    account |= {"parameters": network.parameter_counts(), "circumstances": circumstances(device)}
    fits, positions = [], []
    for turn, (fit, name) in enumerate(_members(request, prepared, network)):
        reporter.member, reporter.members = turn, config.training.members
        positions.append(_run(fit, request, name, reporter, cancelled, heard))
        fit.network.merge_adapters()  # before anything is measured: what is judged is what is saved
        fits.append(fit)
    members = tuple((fit, fit.split.validation) for fit in fits)
    stack(fits, config.task.kind)
    whole = fits[0]
    if len(fits) > 1:
        whole = _fit(request, prepared, join_members([fit.network for fit in fits]))
    return Learned(whole, members, tuple(positions), aligning, account)


def choose_accelerator(config: ModelConfig, device: str) -> Any:
    """Accelerate on a device of torch's, or ``auto``; raises InvalidConfig."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    chosen = choose_device(device)
    if chosen.index is not None and chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    # Accelerate keeps its first settings for the whole process; a notebook trains more than once.
    if AcceleratorState._shared_state and AcceleratorState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=chosen.type == "cpu", mixed_precision=config.training.mixed_precision)


def _network(
    request: Request, prepared: Prepared, turn: int = 0, first: MultimodalNetwork | None = None
) -> tuple[MultimodalNetwork, dict[str, Any]]:
    """The network as training begins, and what the card tells of where it comes from; a member beside the ``first``."""
    torch.manual_seed(request.config.training.seed + turn)
    parts = (request.config, prepared.modalities, prepared.diagnoses)
    network = build_network(*parts) if first is None else another_member(first, *parts)
    old = request.start
    account: dict[str, Any] = {}
    if old is not None:
        names = prepared.names
        judges = {names[i] for i in prepared.parts.test}
        account["started_from"] = start_from(old, network, prepared.modalities, prepared.diagnoses).to_json()
        account["started_from"]["test_cases_that_taught_it"] = len(cases_that_taught(old) & judges)
    for name in request.config.modalities:
        network.restrict(name, request.config.learning(name))
    return network, account


def _members(request: Request, prepared: Prepared, first: MultimodalNetwork) -> Iterator[tuple[Fit, Path]]:
    """What is to be trained in turn, and the folder of its checkpoints below the training's own."""
    count, seed = request.config.training.members, request.config.training.seed
    if count > 1:
        check_members(request.config, first)
    patients = [case.patient.id for case in prepared.cases]
    for turn, parts in enumerate(rotations(prepared.parts, patients, count, seed)):
        network = _network(request, prepared, turn, first)[0] if turn else first
        member = replace(prepared, parts=parts)
        yield _fit(request, member, network, seed + turn), Path(f"member-{turn}" if count > 1 else "")


def _fit(request: Request, prepared: Prepared, network: MultimodalNetwork, seed: int | None = None) -> Fit:
    config = request.config
    chosen = config.training if seed is None else config.training.model_copy(update={"seed": seed})
    accelerator = choose_accelerator(config, request.device)
    network.to(accelerator.device)
    return Fit(network, prepared.data, prepared.parts, config.task.kind, chosen, accelerator)


def _run(fit: Fit, request: Request, name: Path, reporter: Reporter, cancelled: Cancelling, heard: Heard) -> Position:
    def tell(epoch: int, values: Mapping[str, float]) -> None:
        request.tracker.metrics(epoch, {(name / key).as_posix(): value for key, value in values.items()})

    return fit.run(request.out / CHECKPOINT / name, tell, reporter, cancelled, heard)
