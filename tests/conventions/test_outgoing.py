"""What the service calls: a list of modules in the code, a table in the manual, a list of ports in the manifests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from api.settings import Settings
from tests.conventions.named_tests import REPOSITORY, table_rows

SOURCES = [p for room in ("api", "clinical_mm") for p in sorted((REPOSITORY / room).rglob("*.py"))]
TALKS = {
    *(
        "httpx",
        "httpx2",
        "requests",
        "urllib3",
        "urllib.request",
        "http.client",
        "aiohttp",
        "websockets",
        "socketserver",
    ),
    *("ftplib", "smtplib", "poplib", "imaplib", "telnetlib", "xmlrpc", "paramiko", "asyncio"),
    *("obstore", "fsspec", "boto3", "s3fs", "redis", "limits", "psycopg", "dbos", "authlib.integrations"),
    *("mlflow", "opentelemetry.exporter", "huggingface_hub", "transformers", "datasets"),
    *("torch.hub", "torch.distributed", "monai.apps", "monai.bundle", "torchvision", "timm", "nltk", "ssl"),
}
"""Libraries that open connections, or may."""
MAY = {
    "api/access/limits.py": "limits",
    "api/access/oidc.py": "authlib.integrations",
    "api/access/provider.py": "httpx2",
    "api/ground/blobs.py": "obstore",
    "api/ground/jobs.py": "dbos",
    "api/ground/lines.py": "psycopg",
    "api/ground/sent_logs.py": "opentelemetry.exporter",
    "api/ground/spans.py": "opentelemetry.exporter",
    "api/ground/wiping.py": "psycopg",
    "api/observing/readiness.py": "obstore",
    "clinical_mm/deidentify/names.py": "transformers",
    "clinical_mm/modalities/text.py": "transformers",
    "clinical_mm/training/trackers/mlflow.py": "mlflow",
    "clinical_mm/vision/weights.py": "huggingface_hub",
}
"""Module -> the one such library that it uses; each is a row of the manual's table."""
ERRORS_ALONE = {"api/ground/lines.py", "api/ground/wiping.py", "api/observing/readiness.py"}
"""Modules that know such a library by the errors it raises."""
SOCKETS = re.compile(r"(^|\.)(create_connection|connect|connect_ex)$")
CONNECTED = {"api/ground/scanner.py"}
"""Modules that connect a socket themselves."""
ENGINES = {"api/ground/database.py", "api/ground/jobs.py", "api/observing/store.py"}
"""Modules that make an engine of SQLAlchemy's."""
CLIENT = "clinical_mm/client/"
"""Of callers: nothing of the service imports it."""
MANUAL = REPOSITORY / "docs" / "operating.md"
PORT = re.compile(r"\b(\d{2,5})\b")


def imports(path: Path) -> Iterator[str]:
    """Everything a file imports, wherever in it, by dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def rows() -> list[list[str]]:
    """The manual's table: to what, the setting that names it, module, port."""
    return [row for row in table_rows(MANUAL, 4) if row[0] != "to"]


def test_connections_are_made_in_the_listed_modules_alone() -> None:
    found = {
        named(path): {talks for name in imports(path) for talks in TALKS if f"{name}.".startswith(f"{talks}.")}
        for path in SOURCES
        if not named(path).startswith(CLIENT)
    }
    assert {path: talks for path, talks in found.items() if talks} == {path: {talks} for path, talks in MAY.items()}


def calling(pattern: re.Pattern[str], sources: Iterable[Path]) -> set[str]:
    return {
        named(path)
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and pattern.search(ast.unparse(node.func))
    }


def test_sockets_are_connected_and_engines_made_in_the_listed_modules_alone() -> None:
    with_sockets = [path for path in SOURCES if "socket" in set(imports(path))]
    assert calling(SOCKETS, with_sockets) == CONNECTED
    assert calling(re.compile(r"(^|\.)create_engine$"), SOURCES) == ENGINES


def test_nothing_of_the_service_uses_the_callers_client() -> None:
    users = [named(p) for p in SOURCES if any(name.startswith("clinical_mm.client") for name in imports(p))]
    assert [path for path in users if not path.startswith(CLIENT)] == []


def test_no_word_of_the_code_loads_from_an_address() -> None:
    """Functions of torch and MONAI that fetch, by whatever name they were imported."""
    fetch = re.compile(r"load_state_dict_from_url|download_url|download_and_extract|hub\.load|urlopen|urlretrieve")
    assert [named(path) for path in SOURCES if fetch.search(path.read_text(encoding="utf-8"))] == []


def test_each_of_them_is_a_row_of_the_manual_with_the_setting_that_names_it() -> None:
    assert len(rows()) >= 9
    told = {module for row in rows() for module in re.findall(r"`((?:api|clinical_mm)/[\w/]+\.py)`", row[2])}
    assert told == (set(MAY) | CONNECTED | ENGINES) - ERRORS_ALONE
    known = {f"CLINICAL_MM_{name.upper()}" for name in Settings.model_fields}
    for to, setting, *_ in rows():
        assert re.findall(r"`[\w.]+`", setting), to
        assert set(re.findall(r"`(CLINICAL_MM_\w+)`", setting)) <= known, to


def test_the_manifests_let_out_to_the_ports_of_the_manual_and_to_no_other() -> None:
    policies = yaml.safe_load_all((REPOSITORY / "deploy/kubernetes/network.yaml").read_text(encoding="utf-8"))
    [out] = [policy["spec"]["egress"] for policy in policies if policy["spec"]["policyTypes"] == ["Egress"]]
    opened = {port["port"] for rule in out for port in rule["ports"]}
    told = {int(port) for row in rows() for port in PORT.findall(row[3])}
    assert opened == told
