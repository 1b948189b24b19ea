"""``clinical-mm demo``: prepared once, reused the second time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.whole.server import clinical_mm

pytestmark = pytest.mark.slow


def test_the_demo_prepares_a_workspace_to_review_and_reuses_it(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    clinical_mm("demo", "--cases", "60", "--no-serve", workspace=workspace)
    models = json.loads(clinical_mm("models", "list", "--json", workspace=workspace).stdout)
    assert [m["serving"] for m in models] == [True]
    waiting = json.loads(clinical_mm("cases", "list", "--unlabelled", "--json", workspace=workspace).stdout)
    assert len(waiting) == 8
    assert all(case["synthetic"] for case in waiting)

    clinical_mm("demo", "--cases", "60", "--no-serve", workspace=workspace)
    assert json.loads(clinical_mm("models", "list", "--json", workspace=workspace).stdout) == models


def test_the_demo_refuses_a_workspace_with_real_cases(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    case = {"external_id": "acc-1", "patient": {"id": "p-1"}, "note": "Fever.", "files": []}
    (folder / "cases.jsonl").write_text(json.dumps(case) + "\n", encoding="utf-8")
    workspace = tmp_path / "workspace"
    clinical_mm("cases", "import", str(folder), "--format", "folder", workspace=workspace)
    answer = clinical_mm("demo", "--cases", "60", "--no-serve", workspace=workspace, check=False)
    assert answer.returncode == 1
    assert "not synthetic" in answer.stderr
    assert "Traceback" not in answer.stderr
