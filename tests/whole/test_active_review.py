"""The benchmark of the order of review: who judges, who is asked, and that no label is known before it is asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from benchmarks import active_review
from benchmarks.active_review import ORDERS, QUICK, Model, Round, Weighed, followed, needed, saved, told
from benchmarks.phantom_study import Study


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.of(QUICK.config, QUICK.cases)


@pytest.fixture(scope="module")
def runs(study: Study) -> list[dict[str, list[Round]]]:
    return [followed(study, QUICK, seed) for seed in range(QUICK.seeds)]


def test_every_round_of_every_order_is_judged_on_the_same_cases_none_of_which_was_labelled(
    runs: list[dict[str, list[Round]]],
) -> None:
    rounds = [one for run in runs for rounds in run.values() for one in rounds]
    [test] = {one.test for one in rounds}
    assert len(test) > 40
    assert not any(set(test) & set(one.labelled) for one in rounds)


def test_orders_start_alike_and_each_round_adds_as_many_labels_that_were_not_there(
    runs: list[dict[str, list[Round]]],
) -> None:
    for run in runs:
        assert list(run) == list(ORDERS)
        assert len({rounds[0].labelled for rounds in run.values()}) == 1
        for rounds in run.values():
            assert [len(set(one.labelled)) for one in rounds] == QUICK.labels
            for before, after in pairwise(rounds):
                assert after.labelled[: len(before.labelled)] == before.labelled
    assert runs[0]["information"][-1].labelled != runs[0]["random"][-1].labelled


def test_the_learner_holds_the_labels_that_were_asked_for_and_no_others(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[set[int], set[int]]] = []
    weighed = active_review.weighed

    def watched(model: Model, rows: list[int], labelled: tuple[int, ...]) -> Weighed:
        known = np.isfinite(model.fit.data.targets).all(1).nonzero()[0]
        asked.append((set(known.tolist()), set(labelled)))
        assert set(rows).isdisjoint(known.tolist())
        return weighed(model, rows, labelled)

    monkeypatch.setattr(active_review, "weighed", watched)
    followed(study, QUICK, 0)
    assert len(asked) == len(ORDERS) * (len(QUICK.labels) - 1)
    assert all(known == labelled for known, labelled in asked)


def test_a_case_whose_label_was_not_asked_for_cannot_teach(study: Study) -> None:
    pool = study.prepared.parts.train
    data = active_review.with_labels_of(study, pool[:20])
    assert np.isfinite(data.targets[list(pool[:20])]).all()
    assert np.isnan(data.targets[pool[20]]).all()
    assert np.isfinite(study.prepared.data.targets).all()  # the truth itself is not touched


def test_the_tables_tell_each_order_and_what_it_saved(study: Study, runs: list[dict[str, list[Round]]]) -> None:
    text = told(study, QUICK, runs)
    assert text.count("\n| ") == 1 + len(QUICK.labels) + 1 + 2 * (len(ORDERS) - 1)
    assert f"{len(runs[0]['random'][0].test)} other cases judge" in text


@pytest.mark.parametrize(("goal", "labels"), [(0.4, 100), (0.6, 200), (0.7, 200 * 2**0.5), (0.8, 400), (0.9, None)])
def test_labels_for_a_score_are_read_log_linearly_between_rounds(goal: float, labels: float | None) -> None:
    assert needed([100, 200, 400], np.array([0.5, 0.6, 0.8]), goal) == (labels and pytest.approx(labels))


def test_a_round_that_falls_back_does_not_take_back_what_was_reached() -> None:
    assert needed([100, 200, 400, 800], np.array([0.5, 0.7, 0.6, 0.8]), 0.7) == pytest.approx(200)


def test_an_order_that_ends_below_random_saves_less_than_one() -> None:
    labels, high, low = [100, 200, 400], np.array([0.5, 0.7, 0.8]), np.array([0.5, 0.6, 0.7])
    assert saved(labels, low, high) == pytest.approx(2)
    assert saved(labels, high, low) == pytest.approx(0.5)
    assert saved(labels, high, high) == 1
