"""A model's training once more: its configuration, its cases by their ids, its split; labels as they are now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from api.access.service import Caller, Role
from api.models.schemas import ModelOut
from api.problems import NotFound
from api.reviews.adjudication import adjudicated
from api.training.service import Training, who_teaches
from clinical_mm.case import Case
from clinical_mm.importing.folder import write_folder
from clinical_mm.training.label_policy import LabelPolicy
from clinical_mm.training.repeat import Recipe, compare, recipe_of
from clinical_mm.training.vetting import write_labels


@dataclass(frozen=True)
class Repetition:
    """The model that came out, and sentences on how it differs from the first."""

    model: ModelOut
    told: tuple[str, ...]


def repeat(training: Training, caller: Caller, model_id: str) -> Repetition:
    """Train a model's like in the foreground.

    Raises:
        NotFound: no such model, or the one that it had started from is gone.
        ClinicalMMError: as ``clinical_mm.training.run.train`` does; with most cases gone NotEnoughData.
    """
    caller.require(Role.TRAINER)
    first = training.models.get(caller, model_id)
    recipe = recipe_of(training.models.bundle_folder(model_id))
    wanted = set(recipe.cases)
    stored = training.cases.select(caller.project_id, who_teaches(recipe.config))
    agreed = adjudicated(training.ground.database, caller.project_id, stored, "newest")
    cases = [case for case in agreed if case.id in wanted]
    gone = wanted - {case.id for case in cases}
    start = _start(training, caller, recipe)
    write = partial(_write, recipe, cases)
    model = training.make(
        caller, recipe.config, write, start_from=start, catalogue=recipe.catalogue, parts=recipe.parts
    )
    told = compare(first.card, model.card, sorted(gone))
    same = model.weights_sha256 == first.weights_sha256
    return Repetition(model, (*told, "weights are the same bit for bit" if same else "weights differ"))


def _write(recipe: Recipe, cases: Iterable[Case], snapshot: Path) -> None:
    """Labels are checked again as they were."""
    kept = recipe.card.get("labels")
    if kept is not None:
        write_labels(snapshot, LabelPolicy.model_validate(kept["policy"]), kept["report"])
    write_folder(cases, snapshot)


def _start(training: Training, caller: Caller, recipe: Recipe) -> str | None:
    started = recipe.card.get("started_from")
    if started is None:
        return None
    found = next((m.id for m in training.models.list(caller) if m.weights_sha256 == started["sha256"]), None)
    if found is None:
        raise NotFound(f"the model had started from the weights of {started['name']!r}, which are not here any more")
    return found
