"""Copies of cases that trainings and comparisons work on: removed, or their run told to end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.ground.ground import Ground
from api.ground.runs import ENDED
from api.training.service import discard_working_files
from api.training.tables import TrainingRunRow
from clinical_mm.importing.folder import CASES

WHY = "a case that it learned from was erased; start it again"


def stop_copies(ground: Ground, session: Session, project_id: str, ids: Collection[str]) -> list[str]:
    """End the project's runs that may hold one of these cases; remove what dead ones left. Gives the runs told to end.

    A run of another machine, whose folder is not here, is taken to hold them.
    """
    query = select(TrainingRunRow).where(TrainingRunRow.state.not_in(ENDED))
    going = {row.id: row for row in session.scalars(query)}
    holding = {folder for folder in _folders(ground.settings.runs_folder) if _holds(folder, ids)}
    for folder in holding:
        if folder.name not in going:
            _discard(folder)
    told = []
    for row in going.values():
        folder = ground.settings.runs_folder / row.id
        elsewhere = row.state == "running" and row.project_id == project_id and not folder.exists()
        if folder in holding or elsewhere:
            row.cancel_requested, row.error = True, WHY
            told.append(row.id)
    return sorted(told)


def _folders(runs: Path) -> list[Path]:
    return [folder for folder in runs.iterdir() if folder.is_dir()] if runs.is_dir() else []


def _holds(folder: Path, ids: Collection[str]) -> bool:
    """Whether the cases of a snapshot, also of one that is not whole, name one of these."""
    for lines in [*folder.glob(f"**/{CASES}"), *folder.glob(f"**/{CASES}.unfinished")]:
        with lines.open(encoding="utf-8") as file:
            for line in file:
                try:
                    if json.loads(line).get("id") in ids:
                        return True
                except ValueError:  # its last line may be half written
                    continue
    return False


def _discard(folder: Path) -> None:
    if folder.name.startswith("run_"):
        discard_working_files(folder)
    else:  # a comparison's: all of it is working files
        shutil.rmtree(folder, ignore_errors=True)
