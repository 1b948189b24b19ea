"""The mark of a restore that is under way, or was cut off: while it lies in a workspace, nothing works there."""

from __future__ import annotations

from pathlib import Path

from clinical_mm.errors import InvalidConfig


def marker(workspace: Path) -> Path:
    """The file; what it holds is the backup's name."""
    return workspace / "restore.unfinished"


def refuse_unfinished(workspace: Path) -> None:
    """Raises InvalidConfig where a restore has not ended."""
    mark = marker(workspace)
    if mark.exists():
        name = mark.read_text(encoding="utf-8")
        raise InvalidConfig(f"a restore of {name} into {workspace} has not ended: run `clinical-mm restore` again")
