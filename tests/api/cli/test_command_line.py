"""The command line as its user meets it: help, exit codes, one clear line when something fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from api.cli import COMMANDS, cli


@pytest.fixture
def run(tmp_path: Path):
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CLINICAL_MM_WORKSPACE": str(tmp_path / "workspace")}
        return subprocess.run(
            [sys.executable, "-m", "api.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(run, name: str) -> None:
    answer = run(name, "--help")
    assert answer.returncode == 0, answer.stderr
    assert "Example:" in answer.stdout
    assert f"clinical-mm {name}" in answer.stdout


def lacking_examples(command: click.Command, context: click.Context) -> list[str]:
    """The commands below this one, and itself, whose help shows no call of theirs."""
    below = command.commands.values() if isinstance(command, click.Group) else []
    found = [name for one in below for name in lacking_examples(one, click.Context(one, context, one.name))]
    shown = command.get_help(context).partition("Example:")[2]
    return found if context.command_path in shown else [*found, context.command_path]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_below_another_has_an_example_too(name: str) -> None:
    above = click.Context(cli, info_name="clinical-mm")
    command = cli.get_command(above, name)
    assert command is not None
    assert lacking_examples(command, click.Context(command, above, name)) == []


def test_an_unknown_command_is_a_usage_error(run) -> None:
    answer = run("diagnose")
    assert answer.returncode == 2
    assert "diagnose" in answer.stderr


def test_a_failure_is_one_line_on_stderr(run) -> None:
    answer = run("models", "show", "model_that_is_not_there")
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert answer.stderr.startswith("clinical-mm: ")
    assert len(answer.stderr.strip().splitlines()) == 1


def test_debug_shows_the_traceback(run) -> None:
    answer = run("--debug", "models", "show", "model_that_is_not_there")
    assert answer.returncode == 1
    assert "Traceback" in answer.stderr


def test_a_key_is_shown_once_alone_on_the_last_line(run) -> None:
    secret = run("keys", "create", "--role", "viewer", "--name", "ward").stdout.splitlines()[-1]
    assert secret.startswith("cmm_")
    listed = json.loads(run("keys", "list", "--json").stdout)
    assert [(k["name"], k["role"]) for k in listed] == [("ward", "viewer")]
    assert secret not in json.dumps(listed)


def test_a_revoked_key_is_listed_as_such(run) -> None:
    run("keys", "create", "--role", "viewer")
    (key,) = json.loads(run("keys", "list", "--json").stdout)
    assert run("keys", "revoke", key["id"]).returncode == 0
    (after,) = json.loads(run("keys", "list", "--json").stdout)
    assert after["revoked_at"] is not None


def test_cases_travel_through_export_and_import(run, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    lines = [
        {"external_id": "acc-1", "patient": {"id": "p-1", "sex": "F", "age_years": 64}, "note": "Fever.", "files": []},
        {"external_id": "acc-2", "patient": {"id": "p-2"}, "vitals": {"spo2": 250}, "files": []},
    ]
    (folder / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    outcomes = json.loads(run("cases", "import", str(folder), "--format", "folder", "--json").stdout)
    assert [o["outcome"] for o in outcomes] == ["accepted", "refused"]
    assert "spo2" in outcomes[1]["reason"]

    again = json.loads(run("cases", "import", str(folder), "--format", "folder", "--json").stdout)
    assert [o["outcome"] for o in again] == ["present", "refused"]

    assert run("cases", "export", str(tmp_path / "out")).returncode == 0
    (line,) = (tmp_path / "out" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    exported = json.loads(line)
    assert (exported["external_id"], exported["note"]) == ("acc-1", "Fever.")


def test_an_unknown_import_format_lists_the_known_ones(run, tmp_path: Path) -> None:
    answer = run("cases", "import", str(tmp_path), "--format", "dicomweb")
    assert answer.returncode in {1, 2}
    assert "covid-chestxray" in answer.stderr


def test_the_doctor_exits_with_1_where_a_check_fails(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINICAL_MM_CLAMD", "127.0.0.1:1")
    answer = run("doctor", "--json")
    assert [f["check"] for f in json.loads(answer.stdout) if f["state"] == "fail"] == ["virus scanner"]
    assert answer.returncode == 1


def test_what_the_command_line_makes_is_closed_to_others(run, tmp_path: Path) -> None:
    assert run("db", "upgrade").returncode == 0
    made = [tmp_path / "workspace", *(tmp_path / "workspace").rglob("*")]
    assert tmp_path / "workspace" / "clinical_mm.db" in made
    assert [path for path in made if path.stat().st_mode & 0o007] == []


def test_the_doctor_names_every_check(run) -> None:
    answer = run("doctor", "--json")
    findings = {f["check"]: f["state"] for f in json.loads(answer.stdout)}
    assert answer.returncode == 0, findings
    assert {"python", "torch", "device", "decoder", "text weights", "database", "disk"} <= set(findings)


@pytest.mark.parametrize("option", ["--config=small", "--set=training.epochs=1", "--start-from=model_1"])
def test_a_repeated_training_takes_nothing_from_the_command_line(run, option: str) -> None:
    answer = run("train", "--from", "model_0", option)
    assert answer.returncode == 2
    assert "--from repeats a training as it was" in answer.stderr


def test_training_without_cases_says_what_is_missing(run) -> None:
    answer = run("train", "--config", "small")
    assert answer.returncode == 1
    assert "labelled" in answer.stderr


def test_a_project_is_told_to_read_first_and_a_misspelt_one_is_refused(run) -> None:
    assert run("projects", "set", "default", "--read-first").returncode == 0
    [project] = json.loads(run("projects", "list", "--json").stdout)
    assert (project["name"], project["read_first"]) == ("default", True)
    answer = run("projects", "set", "defualt", "--no-read-first")
    assert answer.returncode == 1
    assert "no project 'defualt'; there is default" in answer.stderr
    assert len(json.loads(run("projects", "list", "--json").stdout)) == 1


def test_images_of_an_older_version_are_measured_by_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from api.cli import context
    from api.cli.cases import cases
    from clinical_mm.case import Case
    from tests.api.cases.test_measuring import forget
    from tests.api.conftest import BareSettings, png

    settings = BareSettings(workspace=tmp_path / "workspace")
    monkeypatch.setattr(context, "settings_from_environment", lambda: settings)
    with context.services() as built:
        case = built.cases.submit_case(built.access.operator(), Case.from_files(images=[png()]))
        forget(built, case.id)
    for count in (1, 0):
        answer = CliRunner().invoke(cases, ["measure"])
        assert (answer.exit_code, answer.stdout) == (0, f"measured {count} images, 0 could not be read\n")


def test_a_key_may_end_by_itself(run) -> None:
    for expires in ("90d", "12h", "2999-01-31"):
        assert run("keys", "create", "--role", "viewer", "--name", expires, "--expires", expires).returncode == 0
    ends = {key["name"]: key["expires_at"] for key in json.loads(run("keys", "list", "--json").stdout)}
    assert ends["2999-01-31"].startswith("2999-01-31T00:00:00")
    assert ends["12h"] < ends["90d"] < ends["2999-01-31"]
    for wrong in ("soon", "0d", "2020-01-01", "-1d"):
        answer = run("keys", "create", "--role", "viewer", "--expires", wrong)
        assert (answer.returncode, "--expires" in answer.stderr) == (2, True), wrong


def test_people_are_listed_and_a_stranger_cannot_be_blocked(run) -> None:
    assert json.loads(run("people", "list", "--json").stdout) == []
    answer = run("people", "block", "person_x")
    assert (answer.returncode, "person_x" in answer.stderr) == (1, True)
