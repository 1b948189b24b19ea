"""Words: note -> TF-IDF of its words and runs of words -> one token. What a few dozen notes can teach.

A pretrained BERT knows language, and a few dozen cases do not teach it which words matter here; a linear model of
words learns that from them. Beside ``text`` the two read the same note.
Source: TF-IDF, Spärck Jones, 1972, as scikit-learn defines it, with the logarithm of counts and rows of length 1.
Shapes: B cases, V terms, D width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import InvalidConfig, NotEnoughData
from clinical_mm.modalities.base import Batch, Encoder, Evidence, Modality, Sample, Tokens, word_spans

_TOKEN = re.compile(r"\w\w+")


class WordsOptions(BaseModel):
    """What a model's YAML may say under ``words``.

    Attributes:
        run: terms are single words and runs of up to so many words.
        min_cases: terms that fewer notes of the training part hold are not read. A bundle names its terms in clear:
            raise this where notes may name people.
        max_terms: only the most frequent so many.
        width: D of the token.
        dropout: of a single term in training, so that no one word is leaned on alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    run: int = Field(2, ge=1, le=4)
    min_cases: int = Field(2, ge=1)
    max_terms: int = Field(4000, ge=1)
    width: int = Field(64, ge=4)
    dropout: float = Field(0.3, ge=0, lt=1)


class Words(Modality):
    """The clinical note as a bag of words."""

    name = "words"

    def __init__(self, config: Mapping[str, Any], catalogue: Catalogue) -> None:
        try:
            self.options = WordsOptions.model_validate(config)
        except ValidationError as error:
            raise InvalidConfig(f"words: {error}") from error
        self._columns: dict[str, int] = {}
        self._idf = np.zeros(0, np.float32)

    def fit(self, cases: Sequence[Case]) -> None:
        """Which terms there are and how rare each is, from the training part alone; raises NotEnoughData."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        options = self.options
        vectors = TfidfVectorizer(analyzer=self._terms, min_df=options.min_cases, max_features=options.max_terms)
        notes = [case.note for case in cases if case.note is not None]
        try:
            vectors.fit(notes)
        except ValueError as error:  # no note, or none shares a word with another
            raise NotEnoughData(
                f"words: no word is in {options.min_cases} of the {len(notes)} notes of the training part; import more "
                "cases with a note, or leave words out of the configuration"
            ) from error
        self._learned(vectors.get_feature_names_out().tolist(), vectors.idf_.tolist())

    def state(self) -> dict[str, Any]:
        """The terms in the order of their columns, and the inverse document frequency of each."""
        return {"terms": list(self._columns), "idf": self._idf.tolist()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Terms and frequencies as the bundle holds them."""
        self._learned(state["terms"], state["idf"])

    def has(self, case: Case) -> bool:
        """Whether there is a note."""
        return case.note is not None

    @classmethod
    def shown(cls, case: Case) -> str | None:
        """The note."""
        return case.note

    def read(self, case: Case) -> Sample | None:
        """``tfidf[V]`` of length 1, or all zeros where the note has no word that the training part taught."""
        if case.note is None:
            return None
        counts = np.zeros(len(self._columns), np.float32)
        for term in self._terms(case.note):
            if term in self._columns:
                counts[self._columns[term]] += 1
        weighed = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * self._idf
        return {"tfidf": (weighed / max(float(np.linalg.norm(weighed)), 1e-9)).astype(np.float32)}

    def collate(self, samples: Sequence[Sample | None]) -> Batch:
        """``tfidf[B, V]``."""
        nothing = np.zeros(len(self._columns), np.float32)
        return {"tfidf": torch.from_numpy(np.stack([nothing if s is None else s["tfidf"] for s in samples]))}

    def encoder(self) -> Encoder:
        """One linear layer."""
        return WordsEncoder(len(self._columns), self.options.width, self.options.dropout)

    def rows(self) -> dict[str, tuple[str, ...]]:
        """Each term has a row of its own."""
        return {"terms": tuple(self._columns)}

    def units(self, case: Case, batch: Batch) -> Tensor:
        """Each known term of the note."""
        there_BV = batch["tfidf"] > 0
        return torch.where(there_BV, there_BV.cumsum(1) - 1, -1)

    def evidence(self, case: Case, batch: Batch, attributions: Tensor) -> Evidence:
        """Attribution of each word: what the terms it is part of add, shared among their places in the note."""
        note, shares_V = case.note or "", attributions[0].tolist()
        found = [(term, runs) for term, runs in self._places(note) if term in self._columns]
        times: dict[str, int] = {}
        for term, _ in found:
            times[term] = times.get(term, 0) + 1
        shares = [
            (start, end, shares_V[self._columns[term]] / times[term] / len(runs))
            for term, runs in found
            for start, end in runs
        ]
        return Evidence(text=word_spans(note, shares))

    def _learned(self, terms: Sequence[str], idf: Sequence[float]) -> None:
        self._columns = {term: column for column, term in enumerate(terms)}
        self._idf = np.array(idf, dtype=np.float32)

    def _terms(self, note: str) -> list[str]:
        return [term for term, _ in self._places(note)]

    def _places(self, note: str) -> Iterator[tuple[str, list[tuple[int, int]]]]:
        """Every term of the note, and where each of its words stands."""
        words = [(m.group().lower(), m.span()) for m in _TOKEN.finditer(note)]
        for length in range(1, self.options.run + 1):
            for first in range(len(words) - length + 1):
                run = words[first : first + length]
                yield " ".join(word for word, _ in run), [place for _, place in run]


class WordsEncoder(Encoder):
    """tfidf[B, V] -> one token[B, 1, D], linear in the terms."""

    baselines = ("no-words",)

    def __init__(self, count: int, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        # Small, so that what is learned soon outweighs the draw: fusions bring tokens to one scale.
        self.terms = nn.Parameter(torch.randn(count, width) * 0.02)
        self.dropout = dropout

    def inputs(self, batch: Batch) -> Tensor:
        """The weights of the terms[B, V]."""
        return batch["tfidf"]

    def baseline(self, batch: Batch, name: str | None = None) -> Tensor:
        """A note without any known word."""
        return torch.zeros_like(batch["tfidf"])

    def spread(self, shares_BN: Tensor, batch: Batch) -> Tensor:
        """In proportion to the terms' weights in the note."""
        tfidf_BV = batch["tfidf"]
        return shares_BN * tfidf_BV / tfidf_BV.sum(1, keepdim=True).clamp(min=1e-9)

    def tokens(self, inputs: Tensor, batch: Batch) -> Tokens:
        """The token of each note."""
        kept_BV = F.dropout(inputs, self.dropout, self.training)
        tokens_B1D = (kept_BV @ self.terms).unsqueeze(1)
        return Tokens(tokens_B1D, torch.ones(tokens_B1D.shape[:2], dtype=torch.bool, device=inputs.device))
