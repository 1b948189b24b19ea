"""Over the API a training names weights, models and networks from a list alone, and learns nothing of other files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from api.settings import Settings
from api.training.allowed import refuse_unlisted
from clinical_mm.borrowed import BORROWED
from clinical_mm.config import ModelConfig, known_configs
from clinical_mm.errors import InvalidConfig
from tests.api.stored import Stored, state_of

WEIGHTS, MODEL, NETWORK = "modalities.imaging.weights", "modalities.text.model", "modalities.imaging.network.name"
on_sqlite = pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)


def ask(client: httpx.Client, **changes: Any) -> httpx.Response:
    return client.post("/training-runs", json={"config": "default", "set": changes})


@on_sqlite
@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({WEIGHTS: "/etc/hostname"}, f"/set/{WEIGHTS}"),
        ({WEIGHTS: "../keys.safetensors"}, f"/set/{WEIGHTS}"),
        ({WEIGHTS: "owner/name:model.safetensors"}, f"/set/{WEIGHTS}"),
        ({WEIGHTS: ["/etc/hostname"]}, f"/set/{WEIGHTS}"),
        ({MODEL: "owner/bert"}, f"/set/{MODEL}"),
        ({MODEL: "/root"}, f"/set/{MODEL}"),
        ({NETWORK: "Transchex"}, f"/set/{NETWORK}"),
        ({"modalities.imaging": {"weights": "x/y"}}, "/set/modalities.imaging"),
        ({"modalities": {"text": {"model": "x/y"}}}, "/set/modalities"),
        ({"search.trials": 2, "search.space": {MODEL: {"choices": ["minilm", "x/y"]}}}, "/set/search.trials"),
        ({"search": {"trials": 2, "space": {"modalities.text": {"choices": [{}, {"model": "x/y"}]}}}}, "/set/search"),
    ],
)
def test_what_is_not_listed_is_refused_wherever_it_stands(
    client_as: Callable[[str], httpx.Client], stored: Stored, changes: dict[str, Any], pointer: str
) -> None:
    before = state_of(stored)
    answer = ask(client_as("trainer"), **changes)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json"), answer.text
    [fault] = answer.json()["errors"]
    assert fault["pointer"] == pointer
    assert "ask whoever runs this service" in fault["detail"]
    assert "CLINICAL_MM_WEIGHTS" in fault["detail"]
    assert state_of(stored) == before


@on_sqlite
def test_the_answer_does_not_tell_whether_a_file_is_there(client: httpx.Client, tmp_path: Path) -> None:
    there = tmp_path / "there.safetensors"
    there.write_bytes(b"x")
    told = [ask(client, **{WEIGHTS: str(path)}).json() for path in (there, tmp_path / "gone.safetensors", tmp_path)]
    assert [{**one, "request_id": ""} for one in told] == [{**told[0], "request_id": ""}] * 3


@on_sqlite
def test_what_comes_along_may_be_named(client: httpx.Client) -> None:
    for changes in ({MODEL: "minilm"}, {NETWORK: "resnet18"}, {WEIGHTS: None}, {}):
        assert ask(client, **changes).status_code == 202, changes
    for config in known_configs():
        refuse_unlisted(ModelConfig.load(config), "", ())


@pytest.fixture
def listing(services: Any, settings: Settings) -> Callable[[str], None]:
    def change(said: str) -> None:
        object.__setattr__(services.ground, "settings", settings.model_copy(update={"weights": said}))

    return change


@on_sqlite
def test_whoever_runs_the_service_lists_names_patterns_and_folders(
    client: httpx.Client, listing: Callable[[str], None], tmp_path: Path
) -> None:
    models, outside = tmp_path / "models", tmp_path / "outside"
    models.mkdir()
    outside.mkdir()
    (models / "link").symlink_to(outside)
    listing(f"hospital/*, owner/name:chest.safetensors ,{models}/,resnext50")
    for good in ("hospital/chest", "owner/name:chest.safetensors", f"{models}/chest.safetensors", f"{models}/a/b"):
        assert ask(client, **{WEIGHTS: good}).status_code == 202, good
    assert ask(client, **{NETWORK: "resnext50"}).status_code == 202
    for bad in (
        "hospital",
        "owner/name",
        "other/hospital/x",
        f"{models}/../outside/x",
        f"{models}/link/x",
        f"{models}-of-others/x",
        "hospital/../../etc/x",
    ):
        assert ask(client, **{WEIGHTS: bad}).status_code == 422, bad


@on_sqlite
def test_the_command_line_names_what_it_likes(services: Any, tmp_path: Path) -> None:
    """It fails for want of the file, not of a permission: whoever has the command line has the machine."""
    from clinical_mm.modalities.imaging import ImagingOptions

    config = ModelConfig.load("small", {WEIGHTS: str(tmp_path / "gone.safetensors")})
    assert ImagingOptions.model_validate(config.options("imaging")).weights == str(tmp_path / "gone.safetensors")
    with pytest.raises(InvalidConfig) as told:
        services.training.foreground(services.access.operator("default"), "none-such", {})
    assert "CLINICAL_MM_WEIGHTS" not in str(told.value)


def test_every_option_that_is_free_text_is_on_the_list_of_what_is_borrowed() -> None:
    """An option of any other kind - a number, a choice - names no file."""
    from clinical_mm.modalities.imaging import ImagingOptions, NetworkOptions
    from clinical_mm.modalities.text import TextOptions
    from clinical_mm.modalities.vitals import VitalsOptions
    from clinical_mm.modalities.words import WordsOptions

    def free(model: type[BaseModel], prefix: str) -> set[str]:
        kinds = {name: str(field.annotation) for name, field in model.model_fields.items()}
        return {f"{prefix}.{name}" for name, kind in kinds.items() if kind in {"<class 'str'>", "str | None"}}

    found = free(ImagingOptions, "modalities.imaging") | free(NetworkOptions, "modalities.imaging.network")
    found |= free(TextOptions, "modalities.text") | free(VitalsOptions, "modalities.vitals")
    found |= free(WordsOptions, "modalities.words")
    assert found == set(BORROWED)
