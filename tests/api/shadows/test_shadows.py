"""A challenger answers live cases in silence; who reviews sees nothing of it, who decides sees both beside each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.shadows import live
from api.shadows.tables import ShadowPredictionRow
from clinical_mm.bundle_layout import CARD, MODEL, SPLIT, WEIGHTS
from tests.api.shadows.conftest import Whisperer
from tests.api.stored import Stored, state_of

ClientAs = Callable[[str], httpx.Client]
NewModel = Callable[..., str]
Answered = Callable[..., dict[str, Any]]
Score = Callable[[], int]


def report(client: httpx.Client, model: str) -> dict[str, Any]:
    return dict(client.get(f"/models/{model}/shadow").raise_for_status().json())


def told(client: httpx.Client, model: str) -> tuple[int, int, int, int]:
    """Scored, waiting, failed, missed."""
    found = report(client, model)
    return found["scored"], found["waiting"], found["failed"], found["missed"]


def test_a_shadow_scores_live_answers_and_the_report_sets_both_beside_each_other(
    client: httpx.Client, model: str, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    calm, differing = answered(0.8), answered(0.9)
    whispers.word = lambda case: 0.7 if case.id == calm["case_id"] else 0.2
    assert told(client, shadow) == (0, 2, 0, 0)
    assert score() == 2
    assert told(client, shadow) == (2, 0, 0, 0)
    found = report(client, shadow)
    assert (found["model"], found["champion"], found["in_force"], found["ended_at"]) == (shadow, model, True, None)
    assert found["cases"] == 2
    assert found["agreement"]["value"] == 0.5
    assert found["agreement"]["low"] < 0.2
    [pneumonia] = [one for one in found["diagnoses"] if one["code"] == "pneumonia"]
    assert (pneumonia["mean_absolute"], pneumonia["shift"]) == (0.4, -0.4)
    assert pneumonia["correlation"] == -1
    assert sum(map(sum, pneumonia["joint"])) == 2
    assert [one["case"] for one in found["most_apart"]] == [differing["case_id"], calm["case_id"]]
    assert found["judged"] is None


def test_answers_from_before_it_began_are_left_alone(
    client: httpx.Client, model: str, new_model: NewModel, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    answered()
    challenger = new_model()
    client.put(f"/models/{challenger}/shadow").raise_for_status()
    assert score() == 0
    assert told(client, challenger) == (0, 0, 0, 0)


def test_who_predicts_and_reviews_sees_no_trace_of_it(
    client_as: ClientAs, model: str, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    whispers.word = lambda _: 0.123456
    clinician = client_as("clinician")
    made = answered(0.8)
    case, places = made["case_id"], ("", "/predictions", "/reviews")

    def all_seen() -> list[str]:
        seen = [clinician.get(f"/cases/{case}{place}").raise_for_status().text for place in places]
        seen += [clinician.get(path).raise_for_status().text for path in (f"/predictions/{made['id']}", "/cases")]
        return [*seen, clinician.get("/models").raise_for_status().text, clinician.get("/watching").text]

    before = all_seen()
    assert score() == 1
    assert all_seen() == before
    assert "0.123456" not in json.dumps(before)
    assert made["model"] == model
    again = clinician.post(f"/cases/{case}/predictions").raise_for_status().json()
    assert (again["model"], again["diagnoses"]) == (model, made["diagnoses"])
    assert clinician.get(f"/models/{shadow}/shadow").status_code == 403
    assert client_as("viewer").get(f"/models/{shadow}/shadow").status_code == 403


def test_answering_asks_the_shadow_nothing(
    model: str, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    answered()
    assert whispers.asked == []
    score()
    assert len(whispers.asked) == 1


def test_only_an_admin_of_the_project_begins_and_ends_it_and_a_trainer_reads(
    client_as: ClientAs, model: str, new_model: NewModel, stored: Stored
) -> None:
    challenger = new_model()
    before = state_of(stored)
    for role, status in (("viewer", 403), ("clinician", 403), ("trainer", 403), ("stranger", 404), ("nobody", 401)):
        assert client_as(role).put(f"/models/{challenger}/shadow").status_code == status
        assert client_as(role).delete(f"/models/{challenger}/shadow").status_code == status
    assert state_of(stored) == before
    assert client_as("admin").put(f"/models/{challenger}/shadow").status_code == 200
    assert client_as("trainer").get(f"/models/{challenger}/shadow").status_code == 200
    assert client_as("stranger").get(f"/models/{challenger}/shadow").status_code == 404


def test_the_serving_model_is_no_shadow_and_without_one_there_is_nothing_beside(
    client: httpx.Client, client_as: ClientAs, model: str, new_model: NewModel
) -> None:
    assert client.put(f"/models/{model}/shadow").status_code == 409
    assert client.put("/models/model_of_nobody/shadow").status_code == 404
    answer = client.get(f"/models/{model}/shadow")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        f"model {model} never was a shadow: PUT /v1/models/{model}/shadow",
    )
    assert client.delete(f"/models/{new_model()}/shadow").status_code == 404


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("part", "spoil", "status", "said"),
    [
        (MODEL, lambda text: text.replace('"/min"', '"Hz"'), 409, "catalogue in force: heart_rate in Hz"),
        (MODEL, lambda _: None, 422, "not readable"),
        (WEIGHTS, lambda _: "other weights", 409, "bundle is damaged"),
        (WEIGHTS, lambda _: None, 409, "bundle is damaged"),
    ],
)
def test_a_model_that_does_not_fit_or_is_damaged_is_refused(
    client: httpx.Client,
    services: Any,
    model: str,
    new_model: NewModel,
    stored: Stored,
    part: Any,
    spoil: Any,
    status: int,
    said: str,
) -> None:
    challenger = new_model()
    path = services.models.bundle_folder(challenger) / part
    text = spoil(path.read_text(encoding="utf-8", errors="replace"))
    path.unlink()  # a hard link to the bundle that other tests read
    if text is not None:
        path.write_text(text, encoding="utf-8")
    before = state_of(stored)
    answer = client.put(f"/models/{challenger}/shadow")
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert state_of(stored) == before


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("diagnoses", "said"), [(["sepsis"], "knows none of"), (["pneumonia", "mumps"], "mumps")])
def test_a_model_of_other_diagnoses_is_refused(
    client: httpx.Client, services: Any, model: str, trained_bundle: Any, tmp_path: Any, diagnoses: list[str], said: str
) -> None:
    import shutil

    other = shutil.copytree(trained_bundle, tmp_path / "other")
    card = json.loads((other / CARD).read_text(encoding="utf-8"))
    (other / CARD).write_text(json.dumps({**card, "diagnoses": diagnoses}), encoding="utf-8")
    challenger = services.models.register(services.access.operator("default"), None, other, "other").id
    answer = client.put(f"/models/{challenger}/shadow")
    assert (answer.status_code, said in answer.json()["detail"]) == (409, True), answer.text


def test_promoting_it_ends_it(
    client: httpx.Client, model: str, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    answered()
    score()
    client.post(f"/models/{shadow}/promote").raise_for_status()
    answered()
    assert score() == 0
    found = report(client, shadow)
    assert (found["in_force"], found["champion"], found["scored"], found["waiting"]) == (False, model, 1, 0)
    assert found["ended_at"] is not None
    client.post("/models/rollback").raise_for_status()
    assert report(client, shadow)["in_force"] is False, "rolled back, it is no shadow again by itself"
    assert client.put(f"/models/{shadow}/shadow").json()["in_force"] is True


def test_where_another_model_comes_to_serve_it_stands_beside_that_one(
    client: httpx.Client,
    model: str,
    shadow: str,
    new_model: NewModel,
    whispers: Whisperer,
    answered: Answered,
    score: Score,
) -> None:
    third = new_model()
    answered()
    client.post(f"/models/{third}/promote").raise_for_status()
    answered()
    answered()
    assert score() == 2
    found = report(client, shadow)
    assert (found["champion"], found["scored"], found["in_force"]) == (third, 2, True)


def test_another_shadow_takes_its_place_and_each_change_is_in_the_trail(
    client: httpx.Client, services: Any, model: str, shadow: str, new_model: NewModel
) -> None:
    client.put(f"/models/{shadow}/shadow").raise_for_status()  # it is one already
    other = new_model()
    client.put(f"/models/{other}/shadow").raise_for_status()
    assert (report(client, shadow)["in_force"], report(client, other)["in_force"]) == (False, True)
    assert client.delete(f"/models/{shadow}/shadow").status_code == 404
    assert client.delete(f"/models/{other}/shadow").status_code == 204
    assert services.shadows.current(services.access.operator("default")) is None
    items = client.get("/audit", params={"result": "changed"}).json()["items"]
    trail = [(one["action"], one["object_id"], one["detail"]) for one in items if "shadow" in one["action"]]
    assert trail == [
        ("model.shadow_end", other, {}),
        ("model.shadow", other, {"instead_of": [shadow]}),
        ("model.shadow", shadow, {"instead_of": []}),
    ]


def test_of_many_that_begin_at_once_one_is_the_shadow(
    client_as: ClientAs, services: Any, model: str, new_model: NewModel
) -> None:
    challengers = [new_model() for _ in range(4)]
    clients = [client_as("admin") for _ in challengers]
    with ThreadPoolExecutor(4) as pool:
        begun = pool.map(lambda two: two[0].put(f"/models/{two[1]}/shadow"), zip(clients, challengers, strict=True))
        assert {answer.status_code for answer in begun} == {200}
    with services.ground.database.reading() as session:
        [one] = live.in_force(session)
    assert one.model_id in challengers


def test_ended_it_scores_no_more_and_what_it_said_stays(
    client: httpx.Client, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    answered()
    score()
    answered()
    client.delete(f"/models/{shadow}/shadow").raise_for_status()
    answered()
    assert score() == 0
    assert told(client, shadow) == (1, 0, 0, 1)


def test_erasing_a_case_erases_what_the_shadow_said_of_it(
    client: httpx.Client, services: Any, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    gone, kept = answered(), answered()
    score()
    client.delete(f"/cases/{gone['case_id']}").raise_for_status()
    with services.ground.database.reading() as session:
        assert list(session.scalars(select(ShadowPredictionRow.prediction_id))) == [kept["id"]]
    assert told(client, shadow) == (1, 0, 0, 0)


def test_a_case_that_is_erased_while_it_is_scored_leaves_nothing(
    client: httpx.Client, services: Any, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    made = answered()

    def erased(_: Any) -> float:
        client.delete(f"/cases/{made['case_id']}").raise_for_status()
        return 0.5

    whispers.word = erased
    assert score() == 1
    assert told(client, shadow) == (0, 0, 0, 0)


def test_a_case_that_has_changed_is_not_scored_for_its_earlier_answer(
    client: httpx.Client, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    made = answered()
    client.patch(f"/cases/{made['case_id']}", json={"note": "Something else."}).raise_for_status()
    assert score() == 0
    assert told(client, shadow) == (0, 0, 0, 1)


def test_only_the_newest_are_scored_and_what_is_further_back_is_told(
    client: httpx.Client,
    shadow: str,
    whispers: Whisperer,
    answered: Answered,
    score: Score,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "MOST", 3)
    made = [answered() for _ in range(5)]
    assert told(client, shadow) == (0, 3, 0, 2)
    score()
    assert sorted(whispers.asked) == sorted(one["case_id"] for one in made[2:])
    assert told(client, shadow) == (3, 0, 0, 2)


def test_of_several_answers_to_a_case_the_newest_counts(
    client: httpx.Client, shadow: str, says: Any, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    made = answered(0.2)
    says(made["case_id"], {"pneumonia": 0.9, "heart-failure": 0.1})
    assert score() == 2
    found = report(client, shadow)
    assert (found["scored"], found["cases"], found["agreement"]["value"]) == (2, 1, 0)


def review(client: httpx.Client, case: str, *diagnoses: str) -> str:
    said = {"verdict": "override", "diagnoses": diagnoses}
    return str(client.post(f"/cases/{case}/reviews", json=said).raise_for_status().json()["id"])


def test_reviewers_labels_judge_both_and_no_other_label_does(
    client: httpx.Client, shadow: str, whispers: Whisperer, answered: Answered, score: Score
) -> None:
    made = [answered(0.4 + 0.05 * n, **({"diagnoses": ["pneumonia"]} if n == 9 else {})) for n in range(10)]
    sick = {one["case_id"] for one in made[4:8]}
    whispers.word = lambda case: 0.9 if case.id in sick else 0.1
    score()
    assert report(client, shadow)["judged"] is None, "a label that came with the case is no reviewer's"
    reviews = [
        review(client, one["case_id"], *(["pneumonia"] if one["case_id"] in sick else ["heart-failure"]))
        for one in made[:8]
    ]
    judged = report(client, shadow)["judged"]
    assert (judged["cases"], judged["patients"]) == (8, 8)
    assert judged["gains"]["macro_auroc"]["challenger"]["value"] == 1
    loss = judged["gains"]["log_loss"]
    assert loss["challenger"]["value"] == pytest.approx(0.1054, abs=1e-4)  # -ln 0.9
    assert loss["difference"]["high"] < 0
    client.post(f"/reviews/{reviews[0]}/withdraw").raise_for_status()
    assert report(client, shadow)["judged"]["cases"] == 7


@pytest.mark.parametrize("of", ["model", "shadow"])
def test_cases_of_patients_that_one_of_the_two_has_learned_from_do_not_judge(
    client: httpx.Client,
    services: Any,
    model: str,
    shadow: str,
    whispers: Whisperer,
    answered: Answered,
    score: Score,
    of: str,
) -> None:
    earlier = answered(patient={"id": "known"})
    made = [answered(patient={"id": "known"}), answered()]
    score()
    for one in made:
        review(client, one["case_id"], "pneumonia")
    assert report(client, shadow)["judged"]["cases"] == 2
    path = services.models.bundle_folder({"model": model, "shadow": shadow}[of]) / SPLIT
    path.unlink()  # a hard link to the bundle that other tests read
    path.write_text(json.dumps({"train": [earlier["case_id"]], "validation": [], "test": []}), encoding="utf-8")
    found = report(client, shadow)
    assert (found["judged"]["cases"], found["learned"], found["cases"]) == (1, 1, 3)
    path.unlink()
    found = report(client, shadow)
    assert (found["judged"], found["cases"]) == (None, 3)
    assert "no label judges" in found["notes"][0]


@pytest.mark.parametrize("prepared", ["sqlite"], indirect=True)
def test_what_waits_is_found_without_reading_every_answer_there_is(
    services: Any, shadow: str, answered: Answered, whispers: Whisperer, score: Score
) -> None:
    answered()
    score()
    with services.ground.database.reading() as session:
        [row] = live.in_force(session)
        query = live.waiting(session, row)
        assert query is not None
        plan = query.compile(session.connection(), compile_kwargs={"literal_binds": True})
        steps = [step[3] for step in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {plan}")]
    assert any(step.startswith("SEARCH predictions USING INDEX ix_predictions_model_id_id") for step in steps)
    assert [step for step in steps if "TEMP B-TREE" in step and "ORDER BY" in step][1:] == [], (
        "only what waits is sorted"
    )
