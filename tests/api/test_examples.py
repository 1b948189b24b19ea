"""Every body and answer of the OpenAPI document has an example, which was really sent and really came."""

from __future__ import annotations

import json
from typing import Any

import httpx
import jsonschema
import pytest

from api.openapi import EXAMPLES, examples
from clinical_mm.case import Case
from tests.api.bulk.conftest import work
from tests.api.examples import Recorder, walk, without_ids

__all__ = ["work"]


@pytest.fixture
def document(server_url: str) -> dict[str, Any]:
    return dict(httpx.get(f"{server_url}/openapi.json").json())


@pytest.mark.slow
@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_the_examples_are_what_the_service_takes_and_gives(
    client: httpx.Client,
    services: Any,
    phantom_cases: list[Case],
    new_model: Any,
    work: Any,
    document: dict[str, Any],
    request: pytest.FixtureRequest,
) -> None:
    recorder = Recorder(document)
    client.event_hooks["response"].append(recorder.keep)
    walk(client, services, phantom_cases[:8], new_model, work)
    if request.config.getoption("--record-examples"):
        EXAMPLES.write_text(json.dumps(recorder.seen, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        examples.cache_clear()
    shown = examples()
    for name, kept in recorder.seen.items():
        assert without_ids(shown.get(name, {}).get("request")) == without_ids(kept.get("request")), name
        assert sorted(shown[name].get("responses", {})) == sorted(kept.get("responses", {})), name


def test_the_examples_of_forms_are_taken_too(client: httpx.Client, document: dict[str, Any]) -> None:
    for path, part in (("/cases", "case"), ("/case-imports", "cases")):
        told = document["paths"][f"/v1{path}"]["post"]["requestBody"]["content"]["multipart/form-data"]["example"][part]
        sent = told if isinstance(told, str) else json.dumps(told)
        assert client.post(path, files={part: (None, sent)}).is_success, path


def test_every_body_and_answer_of_json_has_one_that_fits_its_schema(document: dict[str, Any]) -> None:
    parts = {"components": document["components"]}
    for item in document["paths"].values():
        for operation in item.values():
            whole = [operation["requestBody"]] if "requestBody" in operation else []
            whole += [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for one in whole:
                for kind in {"application/json", "multipart/form-data"} & set(one.get("content", {})):
                    told = one["content"][kind]
                    assert "example" in told, f"{operation['operationId']}: add a call to tests/api/examples.py, record"
                    jsonschema.Draft202012Validator({**told["schema"], **parts}).validate(told["example"])


def test_no_example_tells_of_the_machine_that_it_was_recorded_on() -> None:
    text = EXAMPLES.read_text(encoding="utf-8")
    for told in ("/tmp", "/home", "/root", "/usr", "localhost", "cmm_0", "cmm_1"):
        assert told not in text, told
