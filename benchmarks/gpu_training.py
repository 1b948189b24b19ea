"""Training steps a second and peak memory of the ``default`` configuration: float32 and bf16.

The step is the training loop's own: two passes over the tokens, clipping, AdamW. Cases are read, and tokens of
the frozen MiniLM computed, before the clock starts: this measures the device, not the reading of files.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.device import choose_device
from clinical_mm.evaluation.calibration import targets_of
from clinical_mm.modalities import modalities_of
from clinical_mm.network import build_network
from clinical_mm.phantom import DIAGNOSES, draw
from clinical_mm.training.data import Feed, TrainingData, read_samples
from clinical_mm.training.fit import Fit
from clinical_mm.training.learn import choose_accelerator
from clinical_mm.training.reproducible import reproducible
from clinical_mm.training.split import Split

TITLE = "Training steps of the default configuration: float32 and bf16"
BATCHES, PRECISIONS = (16, 32), ("no", "bf16")
WARM_UP = {"cuda": 10, "cpu": 1}
STEPS = {"cuda": 50, "cpu": 2}


@dataclass(frozen=True)
class Measured:
    """Seconds of a step (median) and the most memory in use, in MiB."""

    seconds: float
    memory_mib: float


def run() -> str:
    """The table, as markdown."""
    device = choose_device()
    with reproducible():  # as every training here runs
        found = {(batch, precision): measure(device, batch, precision) for batch in BATCHES for precision in PRECISIONS}
    memory = "peak memory of the device, MiB" if device.type == "cuda" else "peak memory of the process so far, MiB"
    lines = [
        f"DenseNet121 at 224 x 224 and cross-attention learn, MiniLM's tokens are cached; {where(device)}. Medians of "
        f"{STEPS.get(device.type, STEPS['cpu'])} steps after {WARM_UP.get(device.type, WARM_UP['cpu'])} of warm-up, "
        "batches in memory.",
        "",
        f"| batch | precision | steps a second | cases a second | {memory} |",
        "|---|---|---|---|---|",
    ]
    for (batch, precision), m in found.items():
        name = "float32" if precision == "no" else precision
        lines.append(f"| {batch} | {name} | {1 / m.seconds:.2f} | {batch / m.seconds:.1f} | {m.memory_mib:.0f} |")
    ratios = [f"{found[b, 'no'].seconds / found[b, 'bf16'].seconds:.2f} at batch {b}" for b in BATCHES]
    lines += ["", f"bf16 / float32, steps a second: {', '.join(ratios)}."]
    if device.type != "cuda":
        lines += ["", "No GPU was at hand: on a machine with CUDA the same command measures it there."]
    return "\n".join(lines)


def measure(device: torch.device, batch: int, precision: str) -> Measured:
    """Time the training loop's own step on one batch of phantom cases that have everything."""
    fit, feed = _ready(device, batch, precision)
    draw_ = torch.Generator().manual_seed(0)
    for _ in range(WARM_UP.get(device.type, WARM_UP["cpu"])):
        fit._step(feed, draw_)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    seconds = [timed(lambda: fit._step(feed, draw_), device) for _ in range(STEPS.get(device.type, STEPS["cpu"]))]
    return Measured(statistics.median(seconds), peak_memory_mib(device))


def timed(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds until the device is done, not until it was asked."""
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def peak_memory_mib(device: torch.device) -> float:
    """What tensors took on a CUDA device since the reset, else the process' largest resident size so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def where(device: torch.device) -> str:
    """Which device gave the numbers."""
    if device.type == "cuda":
        return f"on {torch.cuda.get_device_name(device)}"
    return f"on the {device.type.upper()}, threads: {torch.get_num_threads()}"


def _ready(device: torch.device, batch: int, precision: str) -> tuple[Fit, Feed]:
    config = ModelConfig.load("default", {"training.mixed_precision": precision, "training.batch_size": batch})
    whole = (drawn.case for drawn in draw(4 * batch, seed=0))
    cases = [case for case in whole if case.images and case.note and case.vitals][:batch]
    modalities = modalities_of(config, Catalogue.load())
    for part in modalities.values():
        part.fit(cases)
    data = TrainingData(
        modalities,
        read_samples(modalities, cases, lambda *_: None),
        targets_of([case.diagnoses or () for case in cases], DIAGNOSES),
    )
    torch.manual_seed(0)
    accelerator = choose_accelerator(config, str(device))
    network = build_network(config, modalities, DIAGNOSES).to(accelerator.device)
    data.cache_frozen(network, accelerator.device, lambda *_: None)
    everyone = tuple(range(batch))
    fit = Fit(network, data, Split(everyone, everyone[:1], ()), config.task.kind, config.training, accelerator)
    fit.model.train()
    fit._set_learning_rate(0)
    return fit, data.feed(everyone, accelerator.device)


if __name__ == "__main__":
    print(run())
