"""The golden set on the command line; an export keeps it, an import locks it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli import context
from api.cli.cases import cases
from clinical_mm.case import Case, Patient
from tests.api.conftest import BareSettings


def test_cases_are_locked_listed_exported_imported_and_taken_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str, workspace: str = "here") -> str:
        settings = BareSettings(workspace=tmp_path / workspace, embedded_worker=False)
        monkeypatch.setattr(context, "settings_from_environment", lambda: settings)
        answer = CliRunner().invoke(cases, arguments, catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    monkeypatch.setattr(
        context, "settings_from_environment", lambda: BareSettings(workspace=tmp_path / "here", embedded_worker=False)
    )
    with context.services() as built:
        sent = Case(patient=Patient("p-1"), note="Fever.", diagnoses=("pneumonia",), external_id="acc-1")
        case = built.cases.submit_case(built.access.operator(), sent).id
    assert run("golden", "add", case) == f"golden: {case}\n"
    [listed] = json.loads(run("golden", "list", "--json"))
    assert (listed["id"], listed["golden_by"]) == (case, "command line (command-line)")
    run("export", str(tmp_path / "out"))
    run("import", str(tmp_path / "out"), "--format", "folder", workspace="there")
    [again] = json.loads(run("golden", "list", "--json", workspace="there"))
    assert (again["external_id"], again["diagnoses"]) == ("acc-1", ["pneumonia"])
    run("golden", "remove", case)
    assert json.loads(run("golden", "list", "--json")) == []
