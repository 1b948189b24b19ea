"""``clinical-mm audit``: what it says of a whole trail, of a tampered one, of an exported file."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli import cli
from api.settings import settings_from_environment


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CLINICAL_MM_WORKSPACE", str(tmp_path / "workspace"))
    settings_from_environment.cache_clear()

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments)

    command("keys", "create", "--role", "viewer")
    command("keys", "list")
    yield command
    settings_from_environment.cache_clear()


def tamper(tmp_path: Path, statement: str) -> None:
    with sqlite3.connect(tmp_path / "workspace" / "clinical_mm.db") as connection:
        for act in ("update", "delete"):
            connection.execute(f"DROP TRIGGER audit_events_no_{act}")
        connection.execute(statement)


def test_commands_are_in_the_trail_with_the_machine_and_the_user(run, tmp_path: Path) -> None:
    assert run("audit", "export", str(tmp_path / "out.jsonl")).exit_code == 0
    first, second = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()[:2])
    assert (first["action"], first["result"], first["route"]) == ("key.create", "changed", "clinical-mm keys create")
    assert (second["action"], second["result"], second["object_type"]) == ("command.keys-list", "answered", "command")
    assert first["actor"] == "command line (command-line)"
    assert "user" in first["source"]


def test_a_whole_trail_is_told_with_its_anchor(run) -> None:
    told = run("audit", "verify")
    assert (told.exit_code, told.stdout.splitlines()[-1][:45]) == (0, "2 entries up to 2, anchored up to entry 2 at ")
    answer = json.loads(run("audit", "verify", "--json").stdout)
    assert (answer["intact"], answer["entries"], answer["faults"]) == (True, 2, [])


def test_a_tampered_trail_ends_in_exit_1_and_names_the_entry(run, tmp_path: Path) -> None:
    tamper(tmp_path, "UPDATE audit_events SET actor = 'nobody' WHERE id = 1")
    told = run("audit", "verify")
    assert (told.exit_code, "entry 1: edited" in told.stdout) == (1, True)
    assert "not as it was written" in told.stderr
    answer = json.loads(run("audit", "verify", "--json").stdout)
    assert (answer["intact"], answer["faults"][0]["entry"], answer["faults"][0]["kind"]) == (False, 1, "edited")


def test_an_export_is_verified_alone_and_never_overwritten(run, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    assert run("audit", "export", str(file), "--since", "2020-01-01").exit_code == 0
    assert run("audit", "verify", "--file", str(file)).exit_code == 0
    assert run("audit", "export", str(file)).exit_code == 2
    file.write_text(file.read_text().replace("viewer", "admin"))
    assert run("audit", "verify", "--file", str(file)).exit_code == 1


def test_a_part_is_chosen_by_time(run, tmp_path: Path) -> None:
    assert run("audit", "export", str(tmp_path / "none.jsonl"), "--until", "2020-01-01").exit_code == 0
    assert len((tmp_path / "none.jsonl").read_text().splitlines()) == 1
    assert run("audit", "verify", "--file", str(tmp_path / "none.jsonl")).exit_code == 0


def test_an_anchor_is_written_when_asked_for(run, tmp_path: Path) -> None:
    told = run("audit", "anchor")
    assert told.exit_code == 0, told.output
    lines = (tmp_path / "workspace" / "audit" / "anchors.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["sequence"] == 3
