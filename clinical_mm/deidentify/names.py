"""Names in notes, found by a model that the operator brings: a hub's name, or a folder where nothing may be downloaded.

``transformers:MODEL`` is any token classifier whose weights are safetensors (obi/deid_roberta_i2b2, MIT, was trained
to de-identify notes); ``spacy:MODEL`` is a spaCy pipeline that finds entities, and needs spaCy to be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from clinical_mm.deidentify.notes import FindNames, Span
from clinical_mm.errors import InvalidConfig

_KINDS = {
    **dict.fromkeys(("PER", "PERSON", "PATIENT", "STAFF", "DOCTOR", "HCW", "NAME", "USERNAME"), "NAME"),
    **dict.fromkeys(
        ("LOC", "GPE", "FAC", "ORG", "HOSP", "HOSPITAL", "LOCATION", "PATORG", "VENDOR", "STREET"), "PLACE"
    ),
    **dict.fromkeys(("ID", "MEDICALRECORD", "IDNUM"), "ID"),
    **dict.fromkeys(("PHONE", "CONTACT"), "PHONE"),
    **dict.fromkeys(("EMAIL", "URL"), "URL"),
}
"""A model's label -> the word that stands in its place; other labels (diseases, dates, numbers) are left alone."""
_PERSONS_ONLY = frozenset({"NAME"})


def find_names(spec: str) -> FindNames:
    """The model that ``kind:model`` names, loaded now.

    Raises:
        InvalidConfig: no such kind, its library is absent, or the model cannot be loaded.
    """
    kind, _, model = spec.partition(":")
    load = _LOADERS.get(kind)
    if load is None or not model:
        raise InvalidConfig(f"names: {spec!r} must be one of {', '.join(f'{k}:MODEL' for k in _LOADERS)}")
    try:
        return load(model)
    except ImportError as error:
        raise InvalidConfig(f"names: {kind} is not installed: pip install {kind}") from error
    except (OSError, ValueError) as error:
        raise InvalidConfig(f"names: {kind} cannot load {model!r}: no folder of that name, none downloaded") from error


def _transformers(model: str) -> FindNames:
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForTokenClassification.from_pretrained(model, use_safetensors=True)
    longest = min(int(tokenizer.model_max_length), int(getattr(network.config, "max_position_embeddings", 512)))
    classify: Callable[..., Any] = pipeline(
        "token-classification",
        model=network,
        tokenizer=tokenizer,
        aggregation_strategy="first",
        stride=max(1, longest // 4),
    )
    tokenizer.model_max_length = longest

    def find(note: str) -> Iterator[Span]:
        for found in classify(note):
            kind = _KINDS.get(str(found["entity_group"]).upper())
            if kind is not None:
                yield int(found["start"]), int(found["end"]), kind

    return find


def _spacy(model: str) -> FindNames:
    import spacy  # type: ignore[import-not-found,unused-ignore] # optional

    read = spacy.load(model)

    def find(note: str) -> Iterator[Span]:
        for found in read(note).ents:
            kind = _KINDS.get(found.label_.upper())
            if kind in _PERSONS_ONLY:  # news taught it places and organisations: in notes these are drugs and scores
                yield found.start_char, found.end_char, str(kind)

    return find


_LOADERS: dict[str, Callable[[str], FindNames]] = {"transformers": _transformers, "spacy": _spacy}
