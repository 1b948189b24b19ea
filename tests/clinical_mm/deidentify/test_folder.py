"""A folder without identity, by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.cli.deidentify import deidentify
from tests.identified import MRN, NAME, dicom_bytes, identified


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    from api.settings import settings_from_environment

    monkeypatch.setenv("CLINICAL_MM_WORKSPACE", str(tmp_path / "workspace"))
    settings_from_environment.cache_clear()
    yield CliRunner()
    settings_from_environment.cache_clear()


def everything_in(folder: Path) -> str:
    return "".join(f"{p}{p.read_bytes().decode('latin-1') if p.is_file() else ''}" for p in sorted(folder.rglob("*")))


def test_files_are_written_without_identity_and_what_is_left_out_is_told(runner: CliRunner, tmp_path: Path) -> None:
    source = tmp_path / "in" / "Quillfeather Barnaby"
    source.mkdir(parents=True)
    for number in (1, 2):
        (source / f"{number}.dcm").write_bytes(dicom_bytes(identified(number)))
    (source / "letter.txt").write_text("Dear Barnaby")
    before = everything_in(tmp_path / "in")
    out = runner.invoke(deidentify, [str(tmp_path / "in"), str(tmp_path / "out"), "--json"])
    assert out.exit_code == 0, out.output
    outcomes = json.loads(out.stdout)
    assert [o["outcome"] for o in outcomes] == ["written", "written", "left out"]
    held = everything_in(tmp_path / "out").lower()
    assert [trace for trace in ("quillfeather", "barnaby", MRN.lower()) if trace in held] == []
    assert everything_in(tmp_path / "in") == before
    report = json.loads((tmp_path / "out" / "deidentification.json").read_text())
    assert report["attributes"]["emptied"]["PatientName (0010,0010)"] == 2


def test_a_folder_of_cases_stays_one(runner: CliRunner, tmp_path: Path) -> None:
    source = tmp_path / "cases"
    source.mkdir()
    (source / "q.dcm").write_bytes(dicom_bytes(identified()))
    case = {"patient": {"id": MRN}, "note": f"{NAME.title()} seen.", "files": ["q.dcm"]}
    (source / "cases.jsonl").write_text(json.dumps(case) + "\n")
    out = runner.invoke(deidentify, [str(source), str(tmp_path / "out")])
    assert out.exit_code == 0, out.output
    written = json.loads((tmp_path / "out" / "cases.jsonl").read_text())
    assert written["patient"]["id"].startswith("p-")
    assert written["note"] == "[NAME]^[NAME] seen."
    assert "uillfeather" not in everything_in(tmp_path / "out")


@pytest.mark.parametrize("target", ["in/out", "in"])
def test_the_source_is_never_written_into(runner: CliRunner, tmp_path: Path, target: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.dcm").write_bytes(dicom_bytes(identified()))
    out = runner.invoke(deidentify, [str(tmp_path / "in"), str(tmp_path / target)])
    assert out.exit_code == 2
    assert len(list((tmp_path / "in").iterdir())) == 1
