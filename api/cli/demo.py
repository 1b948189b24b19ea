"""``clinical-mm demo``: synthetic cases, a model trained on them, predictions and explanations to review."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

import click

from api.cli.context import operator, services
from api.settings import settings_from_environment
from clinical_mm.errors import ClinicalMMError

if TYPE_CHECKING:
    from api.access.service import Caller
    from api.services import Services

T = TypeVar("T")

UNLABELLED_EVERY = 8
"""One synthetic case in this many enters without its label: those are the ones to review."""
EXPLAINED = 12
"""So many of the unlabelled cases are explained beforehand; the others are when they are opened."""


class NotADemoError(ClinicalMMError):
    """The workspace holds cases that are not synthetic."""


@click.command()
@click.option("--cases", "count", default=400, show_default=True, type=click.IntRange(40, 100_000))
@click.option("--seed", default=0, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--no-serve", is_flag=True, help="Prepare the workspace and stop.")
def demo(count: int, seed: int, host: str, port: int, no_serve: bool) -> None:
    """Draw synthetic cases, store them, train a small model, predict, explain, serve. A second time reuses it all.

    \b
    Example:
      clinical-mm demo
      clinical-mm demo --cases 400 --seed 1 --no-serve
    """
    settings = settings_from_environment()
    with services(settings) as built:
        caller = operator(built, "default")
        store_cases(built, caller, count, seed)
        train_once(built, caller)
        answer_unlabelled(built, caller)
        key_id = demo_key(built, caller)
    if no_serve:
        click.echo(f"workspace ready: {settings.workspace}; `clinical-mm demo` or `clinical-mm serve` opens it")
        return
    # A new program in this process: a server forks its web worker, and what training has started - threads of PyTorch,
    # of the object store - survives no fork.
    serving = ["--host", host, "--port", str(port), "--sign-in-as", key_id]
    os.execv(sys.executable, [sys.executable, "-m", "api.cli", "serve", *serving])  # noqa: S606 - our own command


def store_cases(built: Services, caller: Caller, count: int, seed: int) -> None:
    """Put the phantom's cases through the same door as any other case; those there already stay."""
    stored = built.cases.external_ids(caller)
    if any(not (name or "").startswith("synthetic-") for name in stored):
        raise NotADemoError(
            "this workspace holds cases that are not synthetic; set CLINICAL_MM_WORKSPACE to another folder"
        )
    from dataclasses import replace

    from clinical_mm.phantom import draw

    for number, drawn in enumerate(_bar(draw(count, seed), "synthetic cases", count)):
        if drawn.case.external_id in stored:
            continue
        case = replace(drawn.case, diagnoses=None) if number % UNLABELLED_EVERY == 0 else drawn.case
        built.cases.submit_case(caller, case, synthetic=True)


def train_once(built: Services, caller: Caller) -> None:
    """Train the small configuration, unless a model serves already."""
    serving = built.models.serving(caller.project_id)
    if serving is not None:
        click.echo(f"model {serving.id} serves already", err=True)
        return
    model = built.training.foreground(caller, "small", {})
    click.echo(model.headline, err=True)


def answer_unlabelled(built: Services, caller: Caller) -> None:
    """Predict the cases without a label, and explain the first of them."""
    from api.cases.schemas import CaseFilter

    waiting = built.cases.list(caller, CaseFilter(labelled=False, limit=200)).items
    for number, case in enumerate(_bar(waiting, "predictions", len(waiting))):
        if built.predictions.of_case(caller, case.id):
            continue
        prediction = built.predictions.create(caller, case.id, None)
        if number < EXPLAINED:
            built.explanations.create(caller, prediction.id)


def demo_key(built: Services, caller: Caller) -> str:
    """The id of the key behind the sign-in link."""
    from api.access.service import Role

    for key in built.access.list_keys(caller):
        if key.name == "demo" and key.revoked_at is None:
            return key.id
    key, _ = built.access.create_key(caller, Role.ADMIN, "demo")
    return key.id


def _bar(items: Iterable[T], what: str, total: int) -> Iterable[T]:
    from tqdm import tqdm

    bar: Iterable[T] = tqdm(items, desc=what, total=total, unit="case", disable=None)
    return bar
