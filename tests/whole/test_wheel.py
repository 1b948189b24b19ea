"""The installed wheel works in an empty folder: migrations, configurations and pages travel inside it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder holding only what the wheel unpacks; libraries come from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder / "dist"),
        str(REPOSITORY),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder


def run_installed(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    empty = installed / "empty"
    empty.mkdir(exist_ok=True)
    # -P keeps the working folder off sys.path; PYTHONPATH puts the wheel before the editable install.
    environment = {**os.environ, "PYTHONPATH": str(installed / "site"), "HOME": str(empty)}
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_wheel_is_what_runs(installed: Path) -> None:
    answer = run_installed(installed, "-c", "import api, clinical_mm; print(api.__file__, clinical_mm.__file__)")
    assert all(path.startswith(str(installed / "site")) for path in answer.stdout.split()), answer


def test_the_database_migrates_in_an_empty_folder(installed: Path) -> None:
    answer = run_installed(installed, "-m", "api.cli", "db", "upgrade")
    assert answer.returncode == 0, answer.stderr
    assert (installed / "empty" / "workspace" / "clinical_mm.db").is_file()


def test_the_catalogue_and_the_configurations_are_found(installed: Path) -> None:
    code = (
        "from clinical_mm import Catalogue; from clinical_mm.config import ModelConfig, known_configs\n"
        "print(len(Catalogue.load().vitals), [ModelConfig.load(n).name for n in known_configs()])"
    )
    answer = run_installed(installed, "-c", code)
    assert answer.returncode == 0, answer.stderr
    assert "default" in answer.stdout
    assert "small" in answer.stdout


def test_the_pages_travel_inside(installed: Path) -> None:
    pages = installed / "site" / "api" / "pages"
    assert [kind for kind in ("*.html", "*.js", "*.css") if not list(pages.rglob(kind))] == []
