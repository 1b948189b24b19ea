"""Two bundles and a folder of cases: what the policy says of them."""

from __future__ import annotations

from pathlib import Path

from clinical_mm.catalogue import Catalogue
from clinical_mm.importing.folder import whole_folder
from clinical_mm.predictor import load_model
from clinical_mm.promotion.contest import contest_of, learned, untouched
from clinical_mm.promotion.decision import Decision, decide, nothing_to_judge_on
from clinical_mm.promotion.policy import Policy
from clinical_mm.training.prepared import name_of


def compare(
    champion: Path, challenger: Path, folder: Path, policy: Policy, catalogue: Catalogue, device: str = "auto"
) -> Decision:
    """Judge two bundles on those labelled cases of a plain folder that neither has learned from.

    A golden case judges though it is in no test part, such as one that is newer than the challenger.

    Raises:
        InvalidBundle: one of them is no bundle.
        NotEnoughData: the folder is damaged.
    """
    everything = whole_folder(folder, catalogue)
    test, taught = untouched(champion, challenger), learned(champion, challenger)
    patients = {case.patient.id for case in everything if name_of(case) in taught}
    cases = [
        case
        for case in everything
        if case.diagnoses is not None and (case.patient.id not in patients if case.golden else name_of(case) in test)
    ]
    if not cases:
        return nothing_to_judge_on(policy)
    return decide(contest_of(load_model(champion, device), load_model(challenger, device), cases), policy)
