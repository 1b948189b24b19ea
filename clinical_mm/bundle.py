"""A trained model on disk: the MONAI bundle layout, weights in safetensors, the rest in JSON. Never a pickle.

    configs/metadata.json    what a MONAI bundle says of itself
    configs/inference.json   how MONAI's config parser loads it
    configs/model.json       configuration, catalogue, diagnoses, what each modality learned, calibration, cautions
    models/model.safetensors every weight, those of frozen encoders too
    models/cautions.safetensors where the training part lies, to tell what is unlike it
    assets/<modality>/       files besides weights, such as a tokenizer
    docs/README.md, card.json  the model card
    docs/report.json, .html  how it did on the test part, where there was one
    docs/split.json          ids of the cases that taught, chose and judged, and of those of the snapshot left out
    docs/manifest.parquet    of each of those cases its part, its label then, and hashes of what was in it
    docs/places.safetensors  where those that were used lie in the space of similar cases

Source: MONAI Bundle Specification 0.1; safetensors in place of its pickled ``model.pt``.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from clinical_mm.bundle_layout import (
    CARD,
    CAUTIONS,
    MANIFEST,
    MODEL,
    PLACES,
    REPORT,
    REPORT_PAGE,
    SPLIT,
    WEIGHTS,
    read_json,
    refuse_pickles,
    weights_sha256,
)
from clinical_mm.card import card_markdown
from clinical_mm.catalogue import Catalogue
from clinical_mm.cautions import Checks
from clinical_mm.committee import assemble
from clinical_mm.config import ModelConfig
from clinical_mm.errors import InvalidBundle, InvalidConfig
from clinical_mm.evaluation.calibration import Calibration
from clinical_mm.evaluation.page import report_html
from clinical_mm.evaluation.report import Report
from clinical_mm.manifest import Manifest
from clinical_mm.modalities import modalities_of
from clinical_mm.modalities.base import Modality
from clinical_mm.network import MultimodalNetwork
from clinical_mm.places import Places


@dataclass(frozen=True)
class Bundle:
    """A trained model in memory."""

    folder: Path
    config: ModelConfig
    catalogue: Catalogue
    diagnoses: tuple[str, ...]
    modalities: Mapping[str, Modality]
    network: MultimodalNetwork
    calibration: Calibration
    card: dict[str, Any]
    checks: Checks

    @cached_property
    def places(self) -> Places:
        """Where the cases that taught, chose and judged lie; raises InvalidBundle."""
        return Places.load(self.folder / PLACES)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weights: the model's identity."""
        return weights_sha256(self.folder)


def save_bundle(
    bundle: Bundle,
    report: Report | None,
    split: Mapping[str, Sequence[str]],
    places: Places,
    manifest: Manifest,
) -> None:
    """Write a bundle beside its folder and rename it into place: it is there whole or not at all."""
    folder, card = bundle.folder, bundle.card
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for part in ("configs", "models", "docs"):
        (fresh / part).mkdir(parents=True)
    weights = {key: value.detach().cpu().contiguous() for key, value in bundle.network.state_dict().items()}
    save_weights(weights, fresh / WEIGHTS)
    for name, modality in bundle.modalities.items():
        assets = fresh / "assets" / name
        assets.mkdir(parents=True)
        modality.save_assets(assets)
    model = {
        "config": bundle.config.model_dump(mode="json"),
        "catalogue": bundle.catalogue.model_dump(mode="json"),
        "diagnoses": list(bundle.diagnoses),
        "modalities": {name: modality.state() for name, modality in bundle.modalities.items()},
        "calibration": bundle.calibration.to_json(),
        "cautions": bundle.checks.state(),
    }
    _write_json(fresh / MODEL, model)
    _write_json(fresh / "configs/metadata.json", _metadata(bundle.config, bundle.diagnoses, card))
    _write_json(fresh / "configs/inference.json", _INFERENCE)
    _write_json(fresh / CARD, card)
    _write_json(fresh / SPLIT, split)
    if report is not None:
        _write_json(fresh / REPORT, report.to_json())
        (fresh / REPORT_PAGE).write_text(report_html(report, card, bundle.catalogue), encoding="utf-8")
    places.save(fresh / PLACES)
    manifest.save(fresh / MANIFEST)
    bundle.checks.save_vectors(fresh / CAUTIONS)
    (fresh / "docs/README.md").write_text(card_markdown(card), encoding="utf-8")
    _sync(fresh)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors.

    Raises:
        OSError: the disk is full, say; safetensors tells the number only in words.
    """
    try:
        save_file(dict(weights), path, metadata={"format": "pt"})
    except SafetensorError as error:
        told = re.search(r"os error (\d+)", str(error))
        code = int(told[1]) if told else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle; nothing is downloaded and nothing is executed.

    Raises:
        InvalidBundle: a part is missing or damaged, or there is a pickle in it.
    """
    refuse_pickles(folder)
    model = read_json(folder / MODEL)
    try:
        config, catalogue = ModelConfig.parse(model["config"]), Catalogue.model_validate(model["catalogue"])
        diagnoses = tuple(str(code) for code in model["diagnoses"])
        modalities = modalities_of(config, catalogue)
        for name, modality in modalities.items():
            modality.load_state(model["modalities"][name])
            modality.load_assets(folder / "assets" / name)
        network = assemble(config, modalities, diagnoses)
        network.load_state_dict(load_file(folder / WEIGHTS))
        calibration = Calibration.from_json(model["calibration"])
        checks = Checks(tuple(modalities), catalogue)
        checks.load(model.get("cautions", {}), folder / CAUTIONS)
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError, InvalidConfig) as error:
        raise InvalidBundle(f"{folder}: not a usable bundle: {type(error).__name__}: {error}") from error
    card = read_json(folder / CARD)
    return Bundle(folder, config, catalogue, diagnoses, modalities, network.eval(), calibration, card, checks)


_INFERENCE = {
    "imports": ["$import clinical_mm"],
    "bundle_root": ".",
    "predictor": "$clinical_mm.load_model(@bundle_root)",
}


def _metadata(config: ModelConfig, diagnoses: Sequence[str], card: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": "MONAI bundle metadata",
        "version": "0.1.0",
        "changelog": {"0.1.0": "trained"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in ("transformers", "safetensors", "clinical-mm")},
        "name": config.name,
        "task": f"multimodal diagnosis support, {config.task.kind} diagnoses",
        "description": config.description,
        "authors": "trained with clinical_mm",
        "copyright": "the owner of the training data decides",
        "intended_use": card["intended_use"],
        "network_data_format": {
            "inputs": {name: {"type": "tokens", "format": name} for name in config.modalities},
            "outputs": {"pred": {"type": "probabilities", "channel_def": dict(enumerate(diagnoses))}},
        },
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
