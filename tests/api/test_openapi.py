"""The document at /openapi.json is valid OpenAPI 3.1, and tells what the service does."""

from __future__ import annotations

import re
from typing import Any

import httpx
import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.api.conftest import case_json


@pytest.fixture
def document(server_url: str) -> dict[str, Any]:
    answer = httpx.get(f"{server_url}/openapi.json")
    assert answer.status_code == 200
    return dict(answer.json())


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(m, path, op) for path, item in document["paths"].items() for m, op in item.items()]


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_of_the_api_is_in_it(document: dict[str, Any], settings: Any) -> None:
    from api.app import create_app

    rules = [r for r in create_app(settings).url_map.iter_rules() if r.rule.startswith("/v1")]
    served = {(m.lower(), re.sub(r"<(?:[^<:]+:)?([^>]+)>", r"{\1}", r.rule)) for r in rules for m in r.methods or ()}
    described = {(method, path) for method, path, _ in operations(document)}
    assert {s for s in served if s[0] not in {"head", "options"}} - described == set()


def test_every_operation_needs_a_key_is_named_once_and_tells_its_problems(document: dict[str, Any]) -> None:
    names = [op["operationId"] for _, _, op in operations(document)]
    assert len(names) == len(set(names))
    for method, path, operation in operations(document):
        if path.startswith("/v1"):
            assert operation["security"] == [{"bearer": []}], (method, path)
            assert "application/problem+json" in operation["responses"]["default"]["content"], (method, path)
            assert operation.get("summary"), (method, path)


def test_operations_are_named_and_grouped_as_generators_of_clients_like_it(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    for _, path, operation in operations(document):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"]), path
        assert set(operation["tags"]) <= described, path


def test_each_operation_tells_the_refusals_that_it_may_give(document: dict[str, Any]) -> None:
    refused = document["components"]["responses"]
    for method, path, operation in operations(document):
        told = set(operation["responses"])
        assert told >= {"401", "403", "429", "500", "503"}, (method, path)
        assert ("404" in told) or ("{" not in path), (method, path)
        assert (told >= {"400", "413", "415", "422"}) or ("requestBody" not in operation), (method, path)
    for status, header in (("401", "WWW-Authenticate"), ("429", "Retry-After"), ("503", "Retry-After")):
        assert header in refused[status]["headers"]
    assert {"409", "412"} <= set(refused)


def test_a_body_may_be_left_out_where_nothing_in_it_is_needed(document: dict[str, Any]) -> None:
    bodies = {path: body["required"] for method, path, o in operations(document) if (body := o.get("requestBody"))}
    assert bodies["/v1/keys"]
    assert bodies["/v1/erasures"], "whom to erase is said one way or the other"
    assert not bodies["/v1/cases/search"]


def test_each_operation_tells_its_headers(document: dict[str, Any]) -> None:
    named = {op["operationId"]: op for _, _, op in operations(document)}

    def takes(name: str) -> set[str]:
        return {p["$ref"].rpartition("/")[2] for p in named[name]["parameters"] if "$ref" in p}

    def gives(name: str, status: str) -> set[str]:
        return set(named[name]["responses"][status]["headers"])

    parts = document["components"]
    assert all(h["description"] and h["schema"] for h in [*parts["headers"].values(), *parts["parameters"].values()])
    for name in named:
        assert "X-Request-Id" in takes(name)
        assert all("X-Request-Id" in gives(name, s) for s in named[name]["responses"] if s.startswith("2"))
    for name, status in (("submit_case", "201"), ("create_prediction", "201"), ("create_explanation", "201"),
                         ("start_training", "202"), ("start_import", "202"), ("start_predictions", "202")):  # fmt: skip
        assert "Idempotency-Key" in takes(name), name
        assert "Location" in gives(name, status), name
    assert "Idempotency-Key" in takes("create_review") & takes("rollback_model")
    assert "ETag" in gives("submit_case", "201") & gives("get_case", "200") & gives("change_case", "200")
    assert "If-Match" in takes("change_case") & takes("erase_case")
    assert "If-None-Match" in takes("get_case") & takes("get_file")


def test_links_lead_to_operations_that_take_what_was_given(document: dict[str, Any]) -> None:
    named = {op["operationId"]: op for _, _, op in operations(document)}
    linked = [
        link
        for op in named.values()
        for answer in op["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert len(linked) > 20
    for link in linked:
        (parameter,) = link["parameters"]
        assert parameter in {p.get("name") for p in named[link["operationId"]]["parameters"]}


def test_it_names_the_vitals_and_diagnoses_in_force(document: dict[str, Any], client: httpx.Client) -> None:
    catalogue = client.get("/catalogue").json()
    case = document["components"]["schemas"]["CaseDocument"]["properties"]
    assert list(case["vitals"]["properties"]) == [vital["name"] for vital in catalogue["vitals"]]
    codes = next(one for one in case["diagnoses"]["anyOf"] if one["type"] == "array")["items"]["enum"]
    assert codes == [diagnosis["code"] for diagnosis in catalogue["diagnoses"]]


def test_a_path_tells_of_its_own_methods_alone(client: httpx.Client) -> None:
    for path, methods in (("cases", {"GET", "HEAD", "OPTIONS", "POST"}), ("cases/counts", {"GET", "HEAD", "OPTIONS", "POST"}),
                          ("cases/search", {"OPTIONS", "POST"}),
                          ("models/rollback", {"OPTIONS", "POST"})):  # fmt: skip
        answer = client.options(f"/{path}")
        assert set(answer.headers["Allow"].split(", ")) == methods


def test_a_case_may_be_sent_in_both_ways_and_the_example_fits(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/cases"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    schema = {**content["application/json"]["schema"], "components": document["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(case_json())
    assert not validator.is_valid(case_json(surprise=1))
    assert not validator.is_valid(case_json(patient=...))


def test_answers_fit_the_schema_that_describes_them(document: dict[str, Any], client: httpx.Client) -> None:
    def fits(answer: httpx.Response, method: str, path: str) -> None:
        described = document["paths"][path][method]["responses"][str(answer.status_code)]
        schema = {**described["content"]["application/json"]["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())

    made = client.post("/cases", json=case_json())
    fits(made, "post", "/v1/cases")
    fits(client.get(f"/cases/{made.json()['id']}"), "get", "/v1/cases/{id}")
    fits(client.get("/cases"), "get", "/v1/cases")
    fits(client.get("/cases/counts"), "get", "/v1/cases/counts")
    fits(client.post("/cases/search", json={"q": "acc"}), "post", "/v1/cases/search")
    fits(client.post("/cases/counts", json={"q": "acc"}), "post", "/v1/cases/counts")
    fits(client.get("/project"), "get", "/v1/project")
    fits(client.get("/catalogue"), "get", "/v1/catalogue")
    fits(client.get("/audit"), "get", "/v1/audit")
    fits(client.get("/keys"), "get", "/v1/keys")


def test_the_documentation_page_needs_no_other_host(server_url: str) -> None:
    page = httpx.get(f"{server_url}/docs", follow_redirects=True)
    assert page.status_code == 200
    sources = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert sources
    for source in sources:
        assert "//" not in source, source
        assert httpx.get(str(page.url.join(source))).status_code == 200, source


def test_the_page_loads_the_document(server_url: str) -> None:
    page = httpx.get(f"{server_url}/docs", follow_redirects=True)
    found = re.search(r'new URL\("([^"]+)"', page.text)
    assert found is not None
    assert httpx.get(str(page.url.join(found[1]))).json()["info"]["title"] == "clinical_mm"
