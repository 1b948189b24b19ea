"""The front door for inference: cases in, predictions and explanations out. Safe to share between threads.

Shapes: B cases, K diagnoses, M modalities.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clinical_mm.answers import DiagnosisProbability, Explanation, ModalityShare, Prediction
from clinical_mm.bundle import Bundle, load_bundle
from clinical_mm.case import Case
from clinical_mm.cautions import Seen, mean_states
from clinical_mm.device import choose_device
from clinical_mm.errors import InvalidCase, InvalidConfig, UnknownCode
from clinical_mm.features import FeatureCache
from clinical_mm.frozen import FrozenEncoder, stacked
from clinical_mm.information import Information, information
from clinical_mm.modalities.base import Batch, Sample, Tokens
from clinical_mm.network import Output, collate, to_device
from clinical_mm.notes import phrases

BATCH = 32


def load_model(folder: str | Path, device: str = "auto", features: FeatureCache | None = None) -> Predictor:
    """A trained bundle, ready to answer; ``features``: where tokens of its frozen encoders are kept.

    Raises:
        InvalidBundle: the folder is not one, or holds a pickle.
    """
    return Predictor(load_bundle(Path(folder)), device, features)


@dataclass(frozen=True)
class _Answers:
    """What one pass gives: ``logits_BK``, ``weights_BM``, of each modality the cases' mean tokens.

    Where asked for, also ``alone_BMK``, logits of each modality alone, NaN where a case does not have it, and
    ``places_BW``, unit vectors in the space of similar cases.
    """

    logits_BK: np.ndarray
    weights_BM: np.ndarray
    means: Mapping[str, Sequence[np.ndarray]]
    alone_BMK: np.ndarray
    places_BW: np.ndarray

    def states(self, row: int, sample: Mapping[str, Sample | None]) -> dict[str, np.ndarray]:
        """The mean tokens of one case, of the modalities that it has."""
        return {name: mean[row] for name, mean in self.means.items() if sample[name] is not None}


class Predictor:
    """One model on one device."""

    def __init__(self, bundle: Bundle, device: str = "auto", features: FeatureCache | None = None) -> None:
        self.bundle = bundle
        self.device = choose_device(device)
        self.network = bundle.network.to(self.device).eval().requires_grad_(requires_grad=False)
        self.modalities = bundle.modalities
        self.calibration = bundle.calibration
        self.lock = threading.RLock()
        """Held while the network runs: gradients and buffers are not to be shared in mid-pass."""
        parts = {name: (self.modalities[name], self.network.encoder(name)) for name in sorted(self.network.frozen)}
        self._frozen = {n: FrozenEncoder(*part, self.device, features) for n, part in parts.items() if features}

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
        answers = self._forward(samples, cases, weigh=bool(self.bundle.places.names))
        p_BK = self.calibration.probabilities(answers.logits_BK)
        rows = zip(cases, samples, p_BK, answers.weights_BM, self._information(p_BK, answers), strict=True)
        return [
            self._prediction(Seen(case, sample, answers.states(row, sample)), p, weights, taught)
            for row, (case, sample, p, weights, taught) in enumerate(rows)
        ]

    def logits(self, cases: Sequence[Case]) -> np.ndarray:
        """Uncalibrated ``logits[B, K]``."""
        return self._forward([self.read(case) for case in cases], cases).logits_BK

    def logits_of(
        self, samples: Sequence[Mapping[str, Sample | None]], only: Collection[str] | None = None
    ) -> np.ndarray:
        """Uncalibrated ``logits[B, K]`` of what ``read`` gave; ``only``: these modalities alone are let in.

        A case that has none of them is answered as it is.
        """
        return self._forward([_kept(sample, only) for sample in samples]).logits_BK

    def similar(self, case: Case, limit: int | None = 5) -> list[tuple[str, float]]:
        """Names of the cases of this model's training that lie closest to a case, with cosine similarity, -1 to 1.

        ``limit``: how many at most; None = all of them, closest first.

        Raises:
            InvalidCase, UnreadableFile: as ``predict``.
        """
        with self.lock, torch.inference_mode():
            output, present_BM = self._output([self.read(case)], [case])
            vector = self.network.place(output, present_BM)[0].float().cpu().numpy()
        return self.bundle.places.nearest(vector, limit)

    def explain(
        self,
        case: Case,
        target: str | None = None,
        method: str | None = None,
        baselines: Mapping[str, str] | None = None,
    ) -> Explanation:
        """Why the model gives ``target`` (default: its most probable diagnosis) its probability.

        ``method``: None = the default. ``baselines``: modality -> name of the inputs that stand for nothing.

        Raises:
            UnknownCode: the model has no such diagnosis.
            InvalidConfig: no such method or baseline, or one that says nothing of such a model.
        """
        from clinical_mm.explaining import explainer
        from clinical_mm.explaining.offer import offered
        from clinical_mm.explaining.question import Question

        if target is None:
            target = self.predict([case])[0].diagnoses[0].code
        if target not in self.diagnoses:
            raise UnknownCode(f"this model has no such diagnosis; it has: {', '.join(self.diagnoses)}", "/target")
        way = explainer(method or str(offered(self.card)[0]["method"]))
        if not way.applies(self):
            raise InvalidConfig(f"method {way.name!r} says nothing of this model: {way.__doc__}")
        self._check_baselines(baselines or {})
        with self.lock:
            found = way.explain(Question(self, case, target, baselines or {}))
        return replace(found, phrases=phrases(case.note or "", found.text))

    def _check_baselines(self, baselines: Mapping[str, str]) -> None:
        for name, baseline in baselines.items():
            if name not in self.modalities:
                raise InvalidConfig(
                    f"baselines: this model has no modality {name!r}; it has: {', '.join(self.modalities)}"
                )
            known = self.network.encoder(name).baselines
            if baseline not in known:
                raise InvalidConfig(f"baselines: {name} has no baseline {baseline!r}; it has: {', '.join(known)}")

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

    def _output(
        self, samples: Sequence[Mapping[str, Sample | None]], cases: Sequence[Case] = ()
    ) -> tuple[Output, Tensor]:
        """One pass, and ``present_BM``; with ``cases`` the tokens of frozen encoders are those that are kept."""
        known = self._kept_tokens(samples, cases) if cases else {}
        live = {name: part for name, part in self.modalities.items() if name not in known}
        batches, _ = collate(live, samples)
        present_BM = torch.tensor([[s[name] is not None for name in self.modalities] for s in samples])
        output: Output = self.network(to_device(batches, self.device), present_BM.to(self.device), known)
        return output, present_BM.to(self.device)

    def _kept_tokens(self, samples: Sequence[Mapping[str, Sample | None]], cases: Sequence[Case]) -> dict[str, Tokens]:
        found: dict[str, Tokens] = {}
        for name, frozen in self._frozen.items():
            rows = [i for i, sample in enumerate(samples) if sample[name] is not None]
            features = frozen.features([cases[i] for i in rows], [samples[i][name] for i in rows])
            placed = dict(zip(rows, features, strict=True))
            found[name] = stacked([placed.get(i) for i in range(len(samples))], frozen.width).to(self.device)
        return found

    def _forward(
        self, samples: Sequence[Mapping[str, Sample | None]], cases: Sequence[Case] = (), *, weigh: bool = False
    ) -> _Answers:
        """``weigh``: whether to tell what information follows from too."""
        logits = [np.zeros((0, len(self.diagnoses)), np.float32)]
        weights = [np.zeros((0, len(self.modalities)), np.float32)]
        alone, places = [np.zeros((0, len(self.modalities), len(self.diagnoses)), np.float32)], []
        means: dict[str, list[np.ndarray]] = {name: [] for name in self.modalities}
        for start in range(0, len(samples), BATCH):
            some = slice(start, start + BATCH)
            with self.lock, torch.inference_mode():
                output, present_BM = self._output(samples[some], cases[some])
                for name, mean_BD in mean_states(output.tokens).items():
                    means[name] += list(mean_BD)
                if weigh:
                    alone.append(self._alone(output, present_BM))
                    places.append(self.network.place(output, present_BM).float().cpu().numpy())
            logits.append(output.logits_BK.float().cpu().numpy())
            weights.append(output.weights_BM.float().cpu().numpy())
        placed = np.concatenate(places) if places else np.zeros((0, 1), np.float32)
        return _Answers(np.concatenate(logits), np.concatenate(weights), means, np.concatenate(alone), placed)

    def _alone(self, output: Output, present_BM: Tensor) -> np.ndarray:
        """``logits[B, M, K]`` of each modality alone, from tokens that are there: the encoders do not run again."""
        count = len(self.modalities)
        each_MBM = torch.eye(count, dtype=torch.bool, device=self.device).unsqueeze(1) & present_BM
        there_MB1 = each_MBM.any(2, keepdim=True)
        allowed_MBM = torch.where(there_MB1, each_MBM, present_BM)
        tokens = {
            name: Tokens(part.tokens_BND.repeat(count, 1, 1), part.mask_BN.repeat(count, 1))
            for name, part in output.tokens.items()
        }
        told: Output = self.network.join(tokens, allowed_MBM.flatten(0, 1))
        logits_MBK = (
            told.logits_BK.float().reshape(count, -1, len(self.diagnoses)).masked_fill(~there_MB1, float("nan"))
        )
        return np.asarray(logits_MBK.transpose(0, 1).cpu().numpy())

    def _information(self, p_BK: np.ndarray, answers: _Answers) -> Sequence[Information | None]:
        similarity_B = self.bundle.places.similarity(answers.places_BW) if len(answers.places_BW) else None
        if similarity_B is None:
            return [None] * len(p_BK)
        logits_BMK = answers.alone_BMK
        alone = self.calibration.probabilities(logits_BMK.reshape(-1, logits_BMK.shape[-1])).reshape(logits_BMK.shape)
        return information(p_BK, alone, similarity_B, self.calibration.kind)

    def _prediction(self, seen: Seen, p_K: np.ndarray, weights_M: np.ndarray, taught: Information | None) -> Prediction:
        chosen = self.calibration.prediction_set(p_K)
        everything = self.calibration.kind == "exclusive" and len(chosen) == len(self.diagnoses) > 1
        order = np.argsort(-p_K, kind="stable")
        far = self.bundle.checks.strangeness(seen)
        return Prediction(
            diagnoses=tuple(
                DiagnosisProbability(code, self.bundle.catalogue.diagnosis(code).display, float(p_K[k]))
                for k, code in ((int(k), self.diagnoses[int(k)]) for k in order)
            ),
            coverage=self.calibration.coverage,
            prediction_set=tuple(self.diagnoses[k] for k in chosen),
            modalities=tuple(
                ModalityShare(name, seen.sample[name] is not None, float(w), far.get(name))
                for name, w in zip(self.modalities, weights_M, strict=True)
            ),
            warnings=tuple(self.bundle.checks.cautions(seen)),
            abstained=everything,
            information=taught,
        )


def _kept(sample: Mapping[str, Sample | None], only: Collection[str] | None) -> Mapping[str, Sample | None]:
    if only is None or all(sample[name] is None for name in only):
        return sample
    return {name: part if name in only else None for name, part in sample.items()}
