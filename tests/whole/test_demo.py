"""``clinical-mm demo``: prepared once, reused the second time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.api.pages.test_sign_in import opened
from tests.whole.server import Server, clinical_mm, create_key

pytestmark = pytest.mark.slow


def test_the_demo_prepares_cases_to_review_serves_them_and_reuses_them(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    server = Server(workspace, command=["demo", "--cases", "60"])
    server.start(seconds=900)
    try:
        models = json.loads(clinical_mm("models", "list", "--json", workspace=workspace).stdout)
        assert [m["serving"] for m in models] == [True]
        waiting = json.loads(clinical_mm("cases", "list", "--unlabelled", "--json", workspace=workspace).stdout)
        assert len(waiting) == 8
        assert all(case["synthetic"] for case in waiting)
        first = waiting[0]["id"]
        [link] = re.findall(r"sign in once with (\S+)", server.printed())
        with httpx.Client(base_url=server.url, follow_redirects=True, timeout=60) as browser:
            opened(browser, link).raise_for_status()
            assert "synthetic" in browser.get(f"/cases/{first}").raise_for_status().text.lower()
        # What training started in its process must not keep the server's from reading images and running the model.
        with server.client(create_key(workspace, "clinician")) as client:
            assert client.get(f"/cases/{first}/files/0/preview.png").raise_for_status().content
            client.post(f"/cases/{first}/predictions", json={}).raise_for_status()
    finally:
        server.stop()

    clinical_mm("demo", "--cases", "60", "--no-serve", workspace=workspace)
    assert json.loads(clinical_mm("models", "list", "--json", workspace=workspace).stdout) == models

    page = tmp_path / "report.html"
    told = clinical_mm("evaluate", models[0]["id"], "--html", str(page), workspace=workspace).stdout
    assert "macro AUROC of" in told
    assert "imaging + text + vitals" in told
    assert "<svg" in page.read_text(encoding="utf-8")


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
