"""Two bundles and a folder of cases: what the policy says of them."""

from __future__ import annotations

from pathlib import Path

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import NotEnoughData
from clinical_mm.importing.folder import read_folder
from clinical_mm.importing.outcome import Refused
from clinical_mm.predictor import load_model
from clinical_mm.promotion.contest import hold, untouched
from clinical_mm.promotion.decision import Decision, decide, nothing_to_judge_on
from clinical_mm.promotion.policy import Policy
from clinical_mm.training.prepared import name_of


def compare(
    champion: Path, challenger: Path, folder: Path, policy: Policy, catalogue: Catalogue, device: str = "auto"
) -> Decision:
    """Judge two bundles on those labelled cases of a plain folder that neither has learned from.

    Raises:
        InvalidBundle: one of them is no bundle.
        NotEnoughData: the folder is damaged.
    """
    wanted = untouched(champion, challenger)
    cases = [case for case in _read(folder, catalogue) if case.diagnoses is not None and name_of(case) in wanted]
    if not cases:
        return nothing_to_judge_on(policy)
    return decide(hold(load_model(champion, device), load_model(challenger, device), cases), policy)


def _read(folder: Path, catalogue: Catalogue) -> list[Case]:
    cases: list[Case] = []
    for item in read_folder(folder, catalogue):
        if isinstance(item, Refused):
            raise NotEnoughData(f"the folder of cases is damaged: {item.where}: {item.reason}")
        cases.append(item)
    return cases
