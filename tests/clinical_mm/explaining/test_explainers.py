"""Every explainer gives one additive account: exact shares of the modalities, and parts that sum to them."""

from __future__ import annotations

import pytest

from clinical_mm.case import Case
from clinical_mm.errors import InvalidConfig
from clinical_mm.explaining.faithfulness import gain, judge
from clinical_mm.explaining.integrated_gradients import IntegratedGradients
from clinical_mm.explaining.marginal import marginals
from clinical_mm.explaining.question import Question
from clinical_mm.predictor import Predictor
from tests.clinical_mm.test_predictor import subsets

COMPLETE = (
    "integrated_gradients",
    "layer_integrated_gradients",
    "grad_cam",
    "shapley_sampling",
    "attention_flow",
    "counterfactuals",
)
SUBSETS = ("image", "note", "vitals", "image+note", "image+vitals", "note+vitals", "all")


@pytest.mark.parametrize("there", SUBSETS)
@pytest.mark.parametrize("method", [*COMPLETE, "gradient_shap", "occlusion"])
def test_shares_of_modalities_sum_to_what_the_case_moves(
    predictor: Predictor, case: Case, method: str, there: str
) -> None:
    account = predictor.explain(subsets(case)[there], "pneumonia", method)
    total = sum(c.contribution for c in account.contributions)
    assert total == pytest.approx(account.value - account.baseline_value, abs=1e-4)
    if method in COMPLETE:
        assert account.completeness_error <= 0.011


@pytest.mark.parametrize("method", ["grad_cam", "attention_flow", "shapley_sampling", "occlusion", "gradient_shap"])
def test_parts_and_presence_miss_no_more_than_the_error_that_is_told(
    predictor: Predictor, case: Case, method: str
) -> None:
    account = predictor.explain(case, "pneumonia", method)
    parts = {
        "imaging": sum(float(heat.values.sum()) for heat in account.images),
        "text": sum(span.attribution for span in account.text),
        "vitals": sum(vital.attribution for vital in account.vitals),
    }
    missed = sum(abs(c.contribution - c.presence - parts[c.name]) for c in account.contributions)
    size = max(abs(account.value - account.baseline_value), 0.1)
    assert missed / size == pytest.approx(account.completeness_error, abs=0.02)


def test_counterfactuals_tell_plausible_changes_and_what_each_modality_decides(
    predictor: Predictor, case: Case
) -> None:
    told = predictor.explain(case, "pneumonia", "counterfactuals").counterfactuals
    assert {"imaging", "text", "vitals"} <= {change.name for one in told for change in one.changes}
    changes = [change for one in told for change in one.changes if change.to is not None]
    assert all(case.vitals[change.name] == change.value != change.to for change in changes)


def test_another_baseline_can_be_chosen_and_is_told(predictor: Predictor, case: Case) -> None:
    account = predictor.explain(case, "pneumonia", baselines={"imaging": "blurred"})
    assert account.baselines == {"imaging": "blurred", "text": "mask-token", "vitals": "median"}
    with pytest.raises(InvalidConfig, match="it has: mean-image, blurred"):
        predictor.explain(case, "pneumonia", baselines={"imaging": "snow"})


def test_an_explainer_that_ignores_the_weights_is_not_offered(predictor: Predictor, case: Case) -> None:
    (row,) = judge(predictor, [case], ["layer_integrated_gradients"])
    assert row.offered == (row.randomised < 0.5)
    assert row.to_json()["cases"] == 1


def test_the_gain_of_attributions_from_elsewhere_is_judged_alike(predictor: Predictor, case: Case) -> None:
    (row,) = judge(predictor, [case], ["integrated_gradients"])
    question = Question(predictor, case, predictor.predict([case])[0].diagnoses[0].code)
    account = {m.name: IntegratedGradients().attribute(m).values.detach() for m in marginals(question)}
    assert gain(question, account) == pytest.approx(row.gain[0], abs=1e-4)
    assert gain(question, {name: -values for name, values in account.items()}) < row.gain[0]
