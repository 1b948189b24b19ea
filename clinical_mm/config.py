"""A model configuration: which modalities, how they are joined, what is predicted, how it is trained.

``configs/models/<name>.yaml`` holds one; ``--set training.epochs=3`` and the REST ``set`` change single values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clinical_mm.configs import config_folder
from clinical_mm.errors import InvalidConfig
from clinical_mm.search_space import SearchConfig, is_value_of


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoraOptions(_Part):
    """Size of the low-rank adapters: W + alpha / rank * B A, with A and B of ``rank`` rows and columns.

    Source: Hu et al., LoRA, 2021 (arXiv:2106.09685).
    """

    rank: int = Field(8, ge=1, le=256)
    alpha: int = Field(16, ge=1)


class Learning(_Part):
    """How much of one encoder learns; said among a modality's options, the same words for every modality.

    Attributes:
        learns: ``all``; ``last`` = the last blocks alone; ``lora`` = small adapters beside weights that stay;
            ``nothing`` = weights stay as loaded, and tokens are computed once a case and kept.
        last_blocks: with ``last``, how many: layers of a BERT, dense blocks or residual layers of an image network.
        lora: with ``lora``, the size of the adapters.
        frozen: the older word: ``true`` is ``learns: nothing``, ``false`` any of the others.
    """

    learns: Literal["all", "last", "lora", "nothing"] = "all"
    last_blocks: int = Field(1, ge=1)
    lora: LoraOptions = LoraOptions()
    frozen: bool = False

    @model_validator(mode="before")
    @classmethod
    def _says_one_thing(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        learns = given.get("learns", "nothing" if given.get("frozen") else "all")
        if "frozen" in given and bool(given["frozen"]) != (learns == "nothing"):
            raise ValueError(f"frozen: {str(given['frozen']).lower()} contradicts learns: {learns}; say one of them")
        for option, wanted in (("last_blocks", "last"), ("lora", "lora")):
            if option in given and learns != wanted:
                raise ValueError(f"{option} has a meaning with learns: {wanted} alone, not with learns: {learns}")
        return {**given, "learns": learns, "frozen": learns == "nothing"}


class FusionConfig(_Part):
    """How token sequences are joined; ``name`` is a file of ``clinical_mm/fusion``, options are its own."""

    name: str = "cross_attention"
    options: dict[str, Any] = Field(default_factory=dict)


class TaskConfig(_Part):
    """What is predicted.

    Attributes:
        kind: ``exclusive`` = exactly one of the diagnoses (softmax, cross-entropy); ``co-occurring`` = any number of
            them (sigmoid, binary cross-entropy).
        diagnoses: catalogue codes in output order; empty = every diagnosis that the training cases hold.
    """

    kind: Literal["exclusive", "co-occurring"] = "co-occurring"
    diagnoses: tuple[str, ...] = ()


class AlignmentConfig(_Part):
    """Pulling the modalities of one case together before they are joined, on cases without labels too.

    Attributes:
        epochs: 0 = no alignment.
        width: of the shared space, in which similar cases are looked for.
        reconstruction: how much predicting one modality from another counts beside the contrastive loss.
    """

    epochs: int = Field(0, ge=0)
    width: int = Field(64, ge=8)
    batch_size: int = Field(64, ge=8)
    learning_rate: float = Field(1e-3, gt=0)
    temperature: float = Field(0.1, gt=0)
    reconstruction: float = Field(0.5, ge=0)
    kept: float = Field(0.1, ge=0, description="how much the alignment loss counts while diagnoses are trained")


class TrainingConfig(_Part):
    """How it is trained; every number that changes a result is here."""

    seed: int = 0
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(3e-4, gt=0)
    encoder_learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup_fraction: float = Field(0.1, ge=0, le=1)
    token_dropout: float = Field(
        0.0, ge=0, le=1, description="share of cases that lose a random part of a modality's tokens in the second pass"
    )
    modality_dropout: float = Field(
        0.5, ge=0, lt=1, description="of each modality, in a second pass over the same tokens; 0 = no second pass"
    )
    class_weights: bool = True
    sampling: Literal["each-once", "balanced"] = Field("each-once", description="balanced: rare diagnoses more often")
    focal_gamma: float = Field(0.0, ge=0, le=5, description="0 = cross-entropy, 2 = the usual focal loss")
    modality_balance: float = Field(0.0, ge=0, le=5, description="alpha of the gradient balance; 0 = off")
    patience: int = Field(5, ge=1, description="epochs without a better validation loss before stopping")
    validation_fraction: float = Field(0.15, gt=0, lt=0.5)
    test_fraction: float = Field(0.2, ge=0, lt=0.5)
    coverage: float = Field(0.9, gt=0, lt=1, description="of the prediction sets")
    judged_cases: int = Field(
        2, ge=0, description="of the test part, on which explainers are judged at the end; 0 = all are offered unjudged"
    )
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    members: int = Field(
        1, ge=1, le=10, description="networks that answer together, each validated on another part of the patients"
    )


class ModelConfig(_Part):
    """The whole of it.

    Attributes:
        modalities: registry name -> that modality's options (``clinical_mm.modalities.MODALITIES``), and beside them
            how much of its encoder learns (``Learning``).
    """

    name: str
    description: str = ""
    modalities: dict[str, dict[str, Any]] = Field(min_length=1)
    fusion: FusionConfig = FusionConfig()
    task: TaskConfig = TaskConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    training: TrainingConfig = TrainingConfig()
    search: SearchConfig = SearchConfig()

    @model_validator(mode="after")
    def _learning_is_said_well(self) -> ModelConfig:
        for name in self.modalities:
            try:
                self.learning(name)
            except ValidationError as error:
                raise ValueError("; ".join(f"modalities.{name}: {_told(e)}" for e in error.errors())) from error
        return self

    @model_validator(mode="after")
    def _search_is_over_its_own_values(self) -> ModelConfig:
        for name, values in self.search.space.items():
            if not is_value_of(self, name):
                raise ValueError(f"search.space: {name!r} is no value of the configuration")
            for value in values.probes():
                try:
                    tried = self.with_values({name: value})
                except InvalidConfig as error:
                    raise ValueError(f"search.space: {name} = {value!r} does not fit: {error}") from error
                if bool(tried.alignment.epochs) != bool(self.alignment.epochs):
                    raise ValueError(f"search.space: {name} turns alignment on or off, and with it which cases teach")
        return self

    @model_validator(mode="after")
    def _a_committee_is_not_aligned(self) -> ModelConfig:
        if self.training.members > 1 and self.alignment.epochs:
            raise ValueError("training.members above 1 and alignment.epochs above 0 do not go together; choose one")
        return self

    def with_values(self, values: Mapping[str, Any]) -> ModelConfig:
        """The configuration with these values, by dotted name, and no search any more; raises InvalidConfig."""
        data = self.model_dump(mode="json", exclude={"search"})
        for dotted, value in values.items():
            _set(data, dotted, value)
        return self.parse(data, self.name)

    def learning(self, modality: str) -> Learning:
        """How much of a modality's encoder learns."""
        options = self.modalities[modality]
        return Learning.model_validate({key: options[key] for key in Learning.model_fields if key in options})

    def options(self, modality: str) -> dict[str, Any]:
        """A modality's own options, without those that say how much learns."""
        return {key: value for key, value in self.modalities[modality].items() if key not in Learning.model_fields}

    @classmethod
    def load(cls, name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> ModelConfig:
        """A configuration by its name under ``configs/models`` or by file, with dotted overrides applied.

        Raises:
            InvalidConfig: no such configuration (the message lists those there are), or a value is wrong.
        """
        data = _read(name_or_path)
        for dotted, value in (overrides or {}).items():
            _set(data, dotted, value)
        return cls.parse(data, str(name_or_path))

    @classmethod
    def parse(cls, data: Mapping[str, Any], origin: str = "configuration") -> ModelConfig:
        """A configuration from plain data; raises InvalidConfig naming each faulty field."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            faults = "; ".join(_told(e) for e in error.errors())
            raise InvalidConfig(f"{origin}: {faults}") from error


def known_configs() -> list[str]:
    """Names that ``ModelConfig.load`` finds without a path."""
    return sorted(path.stem for path in (config_folder() / "models").glob("*.yaml"))


def _told(fault: Any) -> str:
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].removeprefix('Value error, ')}".removeprefix(": ")


def _read(name_or_path: str | Path) -> dict[str, Any]:
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        if str(name_or_path) not in known_configs():
            raise InvalidConfig(f"no configuration of this name; known: {', '.join(known_configs())}")
        path = config_folder() / "models" / f"{name_or_path}.yaml"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidConfig(f"{path}: {error}") from error
    if not isinstance(data, dict):
        raise InvalidConfig(f"{path}: not a mapping")
    return {"name": path.stem, **data}


def _set(data: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    place = data
    for key in parents:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise InvalidConfig(f"cannot set {dotted}: {key} is not a mapping")
    place[last] = value
