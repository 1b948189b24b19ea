"""What stands beside the probabilities, as plain functions."""

from __future__ import annotations

from datetime import UTC, datetime

from api.explanations.schemas import ChangeOut, CounterfactualOut, ExplanationOut, MethodOut
from api.pages.answer import (
    MethodChoice,
    accounts,
    method_choices,
    offers_changes,
    what_if,
    what_would_change,
    worth_telling,
)
from clinical_mm.catalogue import Catalogue

CATALOGUE = Catalogue.load()
OFFERED = [MethodOut(name=n, display=n.title()) for n in ("integrated_gradients", "occlusion", "counterfactuals")]


def explanation(method: str, target: str = "pneumonia") -> ExplanationOut:
    return ExplanationOut(
        id=f"explanation_{method}", prediction_id="p", case_id="c", target=target, method=method, scale="log-odds",
        baseline_value=0, value=0, completeness_error=0, modalities=[], text=[], vitals=[], images=[],
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def change(name: str, value: float | None, to: float | None, unit: str) -> ChangeOut:
    return ChangeOut(name=name, value=value, to=to, unit=unit)


def test_methods_whose_answer_for_the_target_is_there_are_marked() -> None:
    stored = [explanation("occlusion"), explanation("integrated_gradients", target="atelectasis")]
    assert method_choices(OFFERED, stored, "pneumonia", "occlusion") == [
        MethodChoice("integrated_gradients", "Integrated_Gradients", stored=False, shown=False),
        MethodChoice("occlusion", "Occlusion", stored=True, shown=True),
    ]


def test_a_method_no_longer_offered_stays_while_its_answer_is_stored() -> None:
    found = method_choices(OFFERED, [explanation("attention_flow")], "pneumonia", None)
    assert found[-1] == MethodChoice("attention_flow", "Attention flow", stored=True, shown=False)


def test_changes_are_asked_for_apart_and_are_no_account() -> None:
    assert offers_changes(OFFERED)
    assert accounts([explanation("counterfactuals"), explanation("occlusion")]) == [explanation("occlusion")]


def test_a_change_is_told_in_the_words_of_the_catalogue() -> None:
    changes = [change("spo2", 88, 96, "%"), change("temperature", None, 37.0, "Cel")]
    told = what_if(CATALOGUE, CounterfactualOut(changes=changes, probability=0.81, probability_after=0.44))
    assert told.change == "with Oxygen saturation (SpO2) 96 instead of 88 % and Body temperature 37 instead of none °C"
    assert (told.probability, told.after) == (0.81, 0.44)
    gone = CounterfactualOut(changes=[change("spo2", 88, None, "%")], probability=0.8, probability_after=0.5)
    assert what_if(CATALOGUE, gone).change == "with no Oxygen saturation (SpO2)"
    blind = CounterfactualOut(changes=[change("imaging", None, None, "")], probability=0.8, probability_after=0.3)
    assert what_if(CATALOGUE, blind).change == "with no image"


def test_asked_and_nothing_found_is_another_answer_than_not_asked() -> None:
    assert what_would_change(CATALOGUE, [explanation("occlusion")], "pneumonia") is None
    assert what_would_change(CATALOGUE, [explanation("counterfactuals")], "pneumonia") == []
    assert what_would_change(CATALOGUE, [explanation("counterfactuals")], "atelectasis") is None


def test_a_presence_that_is_next_to_nothing_is_not_told() -> None:
    assert worth_telling(0.049) is None
    assert worth_telling(-0.05) == -0.05
