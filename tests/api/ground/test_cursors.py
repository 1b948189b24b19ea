"""A cursor comes back as it was given, or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ground.cursors import opened, sealed


@given(st.text(max_size=60))
def test_what_was_sealed_is_opened_and_needs_no_escape(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    assert opened(sealed(text)) == text
    assert all(c.isascii() and (c.isalnum() or c in "-_") for c in sealed(text))


@given(st.text(max_size=60))
def test_what_was_made_up_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any: the caller tells which parameter it was
        opened(cursor)


@given(st.integers(0, 40), st.sampled_from("abcXYZ019-_=/ "))
def test_one_other_character_and_it_is_refused(position: int, other: str) -> None:
    whole = sealed("0.881291~case_1m8gsgd50a6kvca0zbjt")
    changed = whole[:position] + other + whole[position + 1 :]
    if changed != whole:
        with pytest.raises(ValueError):  # noqa: PT011
            opened(changed)
    with pytest.raises(ValueError):  # noqa: PT011
        opened(whole[: position + 1])
