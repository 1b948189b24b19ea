"""Taking a review back: it stays in the history, and the label is again what the others say."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from api.audit.service import Audit
from tests.api.conftest import case_json
from tests.api.stored import Stored, state_of

ClientAs = Callable[[str], httpx.Client]


@pytest.fixture
def labelled(client: httpx.Client) -> str:
    """A case that came with the label pneumonia."""
    return str(client.post("/cases", json=case_json()).raise_for_status().json()["id"])


def say(client: httpx.Client, case: str, diagnoses: list[str] | None) -> str:
    said = {"verdict": "unsure" if diagnoses is None else "override", "diagnoses": diagnoses}
    return str(client.post(f"/cases/{case}/reviews", json=said).raise_for_status().json()["id"])


def withdraw(client: httpx.Client, review: str) -> httpx.Response:
    return client.post(f"/reviews/{review}/withdraw")


def standing(client: httpx.Client, case: str) -> tuple[Any, str]:
    found = client.get(f"/cases/{case}").json()
    return found["diagnoses"], found["review"]


def test_the_label_goes_back_to_the_reviews_before_and_then_to_what_was_submitted(
    client: httpx.Client, labelled: str
) -> None:
    before = client.get(f"/cases/{labelled}").json()
    first, second = say(client, labelled, ["covid-19"]), say(client, labelled, [])
    assert standing(client, labelled) == ([], "reviewed")
    withdraw(client, second).raise_for_status()
    assert standing(client, labelled) == (["covid-19"], "reviewed")
    withdraw(client, first).raise_for_status()
    assert client.get(f"/cases/{labelled}").json() == before  # with whoever labelled it, and when


def test_a_case_without_a_label_has_none_again(client: httpx.Client) -> None:
    case = client.post("/cases", json=case_json(diagnoses=...)).json()["id"]
    withdraw(client, say(client, case, ["pneumonia"])).raise_for_status()
    assert standing(client, case) == (None, "unreviewed")


def test_an_earlier_review_is_taken_back_without_touching_a_later_one(client: httpx.Client, labelled: str) -> None:
    first, _ = say(client, labelled, ["covid-19"]), say(client, labelled, ["tuberculosis"])
    withdraw(client, first).raise_for_status()
    assert standing(client, labelled) == (["tuberculosis"], "reviewed")


def test_a_label_changed_by_hand_since_stays(client: httpx.Client, labelled: str) -> None:
    review = say(client, labelled, ["covid-19"])
    client.patch(f"/cases/{labelled}", json={"diagnoses": ["tuberculosis"]}).raise_for_status()
    withdraw(client, review).raise_for_status()
    assert standing(client, labelled) == (["tuberculosis"], "submitted")


def test_taking_back_an_unsure_word_leaves_the_case_to_review(client: httpx.Client, labelled: str) -> None:
    review = say(client, labelled, None)
    assert standing(client, labelled) == (["pneumonia"], "unsure")
    withdraw(client, review).raise_for_status()
    assert standing(client, labelled) == (["pneumonia"], "submitted")


def test_what_was_withdrawn_stays_in_the_history_with_who_and_when(client: httpx.Client, labelled: str) -> None:
    review = say(client, labelled, ["covid-19"])
    answer = withdraw(client, review).json()
    [kept] = client.get(f"/cases/{labelled}/reviews").json()["items"]
    assert kept == answer
    assert (kept["id"], kept["diagnoses"], kept["withdrawn_at"] is None) == (review, ["covid-19"], False)
    assert "test admin" in kept["withdrawn_by"]
    actions = [
        e["action"] for e in client.get("/audit", params={"object_id": review, "result": "changed"}).json()["items"]
    ]
    assert actions == ["review.withdraw", "review.create"]


def test_a_second_withdrawal_is_a_clear_conflict_and_changes_nothing(
    client: httpx.Client, labelled: str, stored: Stored
) -> None:
    review = say(client, labelled, ["covid-19"])
    withdraw(client, review).raise_for_status()
    before = state_of(stored)
    again = withdraw(client, review)
    assert again.status_code == 409
    assert "withdrawn already, by test admin" in again.json()["detail"]
    assert state_of(stored) == before


def test_only_its_own_reviewer_or_an_admin_takes_a_review_back(client_as: ClientAs, labelled: str) -> None:
    of_clinician, of_trainer = say(client_as("clinician"), labelled, []), say(client_as("trainer"), labelled, [])
    assert withdraw(client_as("viewer"), of_clinician).status_code == 403
    assert withdraw(client_as("trainer"), of_clinician).status_code == 403
    assert withdraw(client_as("stranger"), of_clinician).status_code == 404
    assert withdraw(client_as("clinician"), of_clinician).status_code == 200
    assert withdraw(client_as("admin"), of_trainer).status_code == 200
    assert withdraw(client_as("admin"), "review_none").status_code == 404


def test_a_withdrawal_is_stored_whole_or_not_at_all(
    client: httpx.Client, labelled: str, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the trail cannot be written")

    review = say(client, labelled, ["covid-19"])
    before = state_of(stored)
    with monkeypatch.context() as patched:
        patched.setattr(Audit, "record", broken)
        assert withdraw(client, review).status_code == 500
    assert state_of(stored) == before


def test_of_several_withdrawals_at_once_exactly_one_is_made(client: httpx.Client, labelled: str) -> None:
    review = say(client, labelled, ["covid-19"])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: withdraw(client, review).status_code, range(4)))
    assert sorted(answers) == [200, 409, 409, 409]
