"""The front door for inference: cases in, predictions and explanations out. Safe to share between threads.

Shapes: B cases, K diagnoses, M modalities.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinical_mm.answers import Caution, DiagnosisProbability, Explanation, ModalityShare, Prediction
from clinical_mm.bundle import Bundle, load_bundle
from clinical_mm.case import Case
from clinical_mm.device import choose_device
from clinical_mm.errors import InvalidCase, UnknownCode
from clinical_mm.modalities.base import Batch, Sample
from clinical_mm.network import Output, collate, to_device

BATCH = 32
MISSING = {"imaging": "image", "text": "note", "vitals": "vitals", "words": "note"}
"""What a reader calls a modality: the first half of the warning codes ``image-missing``, ``note-missing``, ..."""


def load_model(folder: str | Path, device: str = "auto") -> Predictor:
    """A trained bundle, ready to answer.

    Raises:
        InvalidBundle: the folder is not one, or holds a pickle.
    """
    return Predictor(load_bundle(Path(folder)), device)


class Predictor:
    """One model on one device."""

    def __init__(self, bundle: Bundle, device: str = "auto") -> None:
        self.bundle = bundle
        self.device = choose_device(device)
        self.network = bundle.network.to(self.device).eval().requires_grad_(requires_grad=False)
        self.modalities = bundle.modalities
        self.calibration = bundle.calibration
        self.lock = threading.RLock()
        """Held while the network runs: gradients and buffers are not to be shared in mid-pass."""

    @property
    def diagnoses(self) -> tuple[str, ...]:
        """Codes in output order."""
        return self.bundle.diagnoses

    @property
    def card(self) -> dict[str, Any]:
        """The model card."""
        return self.bundle.card

    @property
    def identity(self) -> str:
        """SHA-256 of the weights."""
        return self.bundle.sha256

    def predict(self, cases: Sequence[Case]) -> list[Prediction]:
        """One prediction a case, in order.

        Raises:
            InvalidCase: a case has none of the modalities that this model uses.
            UnreadableFile: a stored file does not decode.
        """
        samples = [self.read(case) for case in cases]
        logits_BK, weights_BM = self._forward(samples)
        p_BK = self.calibration.probabilities(logits_BK)
        return [
            self._prediction(case, sample, p, weights)
            for case, sample, p, weights in zip(cases, samples, p_BK, weights_BM, strict=True)
        ]

    def logits(self, cases: Sequence[Case]) -> np.ndarray:
        """Uncalibrated ``logits[B, K]``."""
        return self._forward([self.read(case) for case in cases])[0]

    def similar(self, case: Case, limit: int = 5) -> list[tuple[str, float]]:
        """Names of the cases of this model's training that lie closest to a case, with cosine similarity, -1 to 1.

        Raises:
            InvalidCase, UnreadableFile: as ``predict``.
        """
        batches, present_BM = self.batch([self.read(case)])
        with self.lock, torch.inference_mode():
            output: Output = self.network(batches, present_BM)
            vector = self.network.place(output, present_BM)[0].float().cpu().numpy()
        return self.bundle.places.nearest(vector, limit)

    def explain(self, case: Case, target: str | None = None, method: str = "integrated_gradients") -> Explanation:
        """Why the model gives ``target`` (default: its most probable diagnosis) its probability.

        Raises:
            UnknownCode: the model has no such diagnosis.
            InvalidConfig: no such method.
        """
        from clinical_mm.explaining import explainer

        if target is None:
            target = self.predict([case])[0].diagnoses[0].code
        if target not in self.diagnoses:
            raise UnknownCode(f"this model has no diagnosis {target!r}; it has: {', '.join(self.diagnoses)}", "/target")
        return explainer(method).explain(self, case, target)

    def read(self, case: Case) -> Mapping[str, Sample | None]:
        """The case's arrays for each modality; raises InvalidCase where there are none at all."""
        sample = {name: part.read(case) for name, part in self.modalities.items()}
        if all(found is None for found in sample.values()):
            wanted = ", ".join(self.modalities)
            raise InvalidCase(f"the case has nothing that this model reads; it reads: {wanted}")
        return sample

    def batch(self, samples: Sequence[Mapping[str, Sample | None]]) -> tuple[dict[str, Batch], Tensor]:
        """Batches and ``present_BM`` on this model's device."""
        batches, present_BM = collate(self.modalities, samples)
        return to_device(batches, self.device), present_BM.to(self.device)

    def _forward(self, samples: Sequence[Mapping[str, Sample | None]]) -> tuple[np.ndarray, np.ndarray]:
        logits = [np.zeros((0, len(self.diagnoses)), np.float32)]
        weights = [np.zeros((0, len(self.modalities)), np.float32)]
        for start in range(0, len(samples), BATCH):
            batches, present_BM = self.batch(samples[start : start + BATCH])
            with self.lock, torch.inference_mode():
                output: Output = self.network(batches, present_BM)
            logits.append(output.logits_BK.float().cpu().numpy())
            weights.append(output.weights_BM.float().cpu().numpy())
        return np.concatenate(logits), np.concatenate(weights)

    def _prediction(
        self, case: Case, sample: Mapping[str, Sample | None], p_K: np.ndarray, weights_M: np.ndarray
    ) -> Prediction:
        chosen = self.calibration.prediction_set(p_K)
        everything = self.calibration.kind == "exclusive" and len(chosen) == len(self.diagnoses) > 1
        order = np.argsort(-p_K, kind="stable")
        return Prediction(
            diagnoses=tuple(
                DiagnosisProbability(code, self.bundle.catalogue.diagnosis(code).display, float(p_K[k]))
                for k, code in ((int(k), self.diagnoses[int(k)]) for k in order)
            ),
            coverage=self.calibration.coverage,
            prediction_set=tuple(self.diagnoses[k] for k in chosen),
            modalities=tuple(
                ModalityShare(name, sample[name] is not None, float(w))
                for name, w in zip(self.modalities, weights_M, strict=True)
            ),
            warnings=tuple(self._warnings(case, sample)),
            abstained=everything,
        )

    def _warnings(self, case: Case, sample: Mapping[str, Sample | None]) -> list[Caution]:
        absent = dict.fromkeys(MISSING.get(n, n) for n, part in sample.items() if part is None)
        rest = " and ".join(dict.fromkeys(MISSING.get(n, n) for n, part in sample.items() if part is not None))
        found = [Caution(f"{what}-missing", f"no {what}: the probability rests on {rest} alone") for what in absent]
        brought = {"image": bool(case.images), "note": case.note is not None, "vitals": bool(case.vitals)}
        read = {MISSING.get(name, name) for name in self.modalities}
        for what, there in brought.items():
            if there and what not in read:
                found.append(Caution(f"{what}-not-used", f"this model does not read {what}"))
        known = {v.name for v in self.bundle.catalogue.vitals}
        unknown = sorted(set(case.vitals) - known)
        return [*found, *(Caution("vital-not-used", f"this model does not know {name}") for name in unknown)]
