from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from clinical_mm.deidentify.keyed import Pseudonyms

HERE, THERE = Pseudonyms(b"here" * 8), Pseudonyms(b"there" * 8)


@given(st.text(min_size=1, max_size=60))
def test_a_pseudonym_is_stable_known_again_and_another_projects_own(value: str) -> None:
    made = HERE.code("p", value)
    assert HERE.code("p", value) == HERE.code("p", made) == made
    assert HERE.made("p", made)
    assert not THERE.made("p", made)
    assert THERE.code("p", value) != made


@given(st.from_regex(r"1\.[1-9][0-9]{0,20}(\.[1-9][0-9]{0,10}){0,3}", fullmatch=True))
def test_another_uid_is_valid_stable_and_known_again(value: str) -> None:
    made = HERE.uid(value)
    assert UID(made).is_valid
    assert len(made) <= 64
    assert HERE.uid(made) == HERE.uid(value) == made != value
    assert THERE.uid(value) != made


@given(st.text(max_size=30))
def test_days_are_never_none_and_the_same_for_the_pseudonym(patient: str) -> None:
    days = HERE.days(patient, 365)
    assert 1 <= abs(days) <= 365
    assert HERE.days(HERE.code("p", patient), 365) == days


def test_patients_and_cases_of_one_id_do_not_share_a_pseudonym() -> None:
    assert HERE.code("p", "17")[2:] != HERE.code("x", "17")[2:]


def test_the_fingerprint_tells_secrets_apart() -> None:
    assert HERE.fingerprint != THERE.fingerprint
