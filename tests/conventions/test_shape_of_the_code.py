"""Rules of the house that a machine can hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = [
    p
    for room in ("clinical_mm", "api", "migrations", "benchmarks", "torture")
    for p in (REPOSITORY / room).rglob("*.py")
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_a_file_holds_one_idea_and_stays_under_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("module", ["clinical_mm", "api.app", "api.cli"])
def test_starting_up_loads_no_learning_library(module: str) -> None:
    heavy = "{'torch', 'monai', 'transformers', 'captum', 'sklearn', 'pandas'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"


def test_the_library_needs_no_web_framework_and_no_sql() -> None:
    code = "import sys, clinical_mm, clinical_mm.predictor; print(sorted({'flask', 'sqlalchemy', 'dbos'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"


def test_the_public_names_are_exactly_these() -> None:
    import clinical_mm

    assert sorted(clinical_mm.__all__) == ["Case", "Catalogue", "load_model"]


def test_every_setting_is_documented() -> None:
    from api.settings import Settings

    text = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [n for n in Settings.model_fields if f"CLINICAL_MM_{n.upper()}" not in text]
    assert missing == []


def test_every_command_is_in_the_readme_or_the_manual() -> None:
    from api.cli import COMMANDS

    text = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if not re.search(rf"clinical-mm {name}\b", text)] == []


def test_every_warning_code_is_documented() -> None:
    from clinical_mm.cautions.base import READERS_WORD

    code = "\n".join(p.read_text(encoding="utf-8") for p in (REPOSITORY / "clinical_mm" / "cautions").glob("*.py"))
    patterns = set(re.findall(r'Caution\(\s*f?"([^"]+)"', code))
    codes = {re.sub(r"\{[^}]*\}", word, pattern) for pattern in patterns for word in READERS_WORD.values()}
    text = (REPOSITORY / "docs" / "warnings.md").read_text(encoding="utf-8")
    assert len(codes) > 12
    assert sorted(found for found in codes if f"`{found}`" not in text) == []


def test_every_core_error_has_a_row_in_the_error_table() -> None:
    from api.problems import CORE_STATUS
    from clinical_mm import errors

    named = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.ClinicalMMError)]
    without = [e for e in named if e is not errors.ClinicalMMError and not any(c in CORE_STATUS for c in e.__mro__)]
    assert without == []


def test_each_modality_fusion_explainer_and_check_is_named_in_a_test() -> None:
    from clinical_mm.cautions import CHECKS
    from clinical_mm.explaining import EXPLAINERS
    from clinical_mm.fusion import known_fusions
    from clinical_mm.modalities import MODALITIES

    tests = "\n".join(p.read_text(encoding="utf-8") for p in (REPOSITORY / "tests" / "clinical_mm").rglob("*.py"))
    assert [name for name in (*MODALITIES, *known_fusions(), *EXPLAINERS, *CHECKS) if name not in tests] == []


def test_nothing_here_loads_a_pickle() -> None:
    loads = re.compile(
        r"torch\.load\(|\bpickle\b.*\bloads?\(|^import pickle|^from pickle|\bjoblib\.load|allow_pickle=True",
        re.MULTILINE,
    )
    ours = [p for p in SOURCES if p.relative_to(REPOSITORY).parts[0] in {"clinical_mm", "api"}]
    assert len(ours) > 200
    assert [str(p.relative_to(REPOSITORY)) for p in ours if loads.search(p.read_text(encoding="utf-8"))] == []


def test_no_service_goes_round_the_fence_of_projects() -> None:
    """What api/ground/fence.py cannot see: bare tables, connections of one's own, SQL as text, bulk writes."""
    round_it = re.compile(
        r"__table__|\.engine\b|\.connection\(|exec_driver_sql|\bbulk_\w+\(|from sqlalchemy import .*\btext\b|from_statement\("
    )
    allowed = {
        "api/bulk/tables.py",
        "api/cases/tables.py",
        "api/training/worker.py",
    }  # the latter has its statements traced
    through_all = {"audit", "backups", "observing"}  # the trail is one chain, a backup is of everything
    sources = [p for p in (REPOSITORY / "api").rglob("*.py") if not {"ground", *through_all} & set(p.parts)]
    found = {
        str(path.relative_to(REPOSITORY)): hits
        for path in sources
        if (hits := round_it.findall(path.read_text(encoding="utf-8")))
    }
    assert {path: hits for path, hits in found.items() if path not in allowed} == {}


def test_everywhere_is_said_in_these_places_alone() -> None:
    """Each looks across projects for a reason; a new one is to be thought about."""
    said = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "api").rglob("*.py")
        if re.search(r"\beverywhere\(|\bwhole_process\(", path.read_text(encoding="utf-8"))
    }
    assert said == {
        "api/access/own_sessions.py",
        "api/access/people.py",
        "api/access/service.py",
        "api/access/sessions.py",
        "api/access/uses.py",
        "api/audit/anchor.py",
        "api/audit/service.py",
        "api/cases/forgetting.py",
        "api/cli/__init__.py",
        "api/ground/scope.py",
        "api/models/service.py",
        "api/observing/scraped.py",
        "api/serve.py",
        "api/shadows/__main__.py",
        "api/watching/gauges.py",
    }
