"""The words by which notes deny and doubt: an operator's own, in place of those that come along."""

from __future__ import annotations

from pathlib import Path

from api.ground.ground import Ground
from clinical_mm.notes import phrases
from tests.api.conftest import BareSettings


def test_an_operators_triggers_take_the_place_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "triggers"
    folder.mkdir()
    (folder / "deutsch.yaml").write_text("negated: {before: [kein]}", encoding="utf-8")
    ground = Ground.of(BareSettings(workspace=tmp_path / "workspace", note_triggers=folder))
    contexts = [str(p.context) for p in phrases("Kein Fieber. No fever.", (), ground.wording)]
    ground.close()
    assert contexts == ["negated", "affirmed", "affirmed", "affirmed"]
