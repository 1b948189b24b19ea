"""Pages among many cases: the database goes by an index, whichever page is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from api.ground.clock import now
from api.observing.store import Store
from benchmarks import many_cases
from torture.house import house
from torture.whole_postgresql import programs, whole_postgresql

CASES = 20_000
INDEXES = {
    "newest": ["ix_cases_project_id_id"],
    "worklist": ["ix_cases_worklist"],
    "by uncertainty, unlabelled": ["ix_cases_uncertainty"],
    "unsure (1 in 40)": ["ix_cases_review_state"],
    "unsure, by disagreement": ["ix_cases_review_state_disagreement"],
    "a diagnosis (1 in 16)": ["sqlite_autoindex_case_labels_1", "ix_cases_project_id_id"],
    "the golden set (1 in 1,000)": ["ix_cases_golden"],
    "stored in the last ten minutes": ["ix_cases_project_id_id"],
}


@pytest.fixture(scope="module")
def postgresql_with_modules() -> Iterator[str]:
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL is installed from a package, and the tests' own has no pg_trgm")
    with whole_postgresql(found) as url:
        yield url


def test_sqlite_finds_each_page_by_an_index_without_statistics() -> None:
    with house() as served:
        pages = many_cases.pages(now(), CASES)
        for page, indexes in INDEXES.items():
            assert re.findall(r"`(\w+)`", told := many_cases.plan(served.services, pages[page])) == indexes
            assert "sort" not in told


@pytest.mark.postgresql
def test_postgresql_looks_words_up_where_few_cases_have_them(postgresql_with_modules: str) -> None:
    with house(postgresql_with_modules) as served:
        pages = many_cases.pages(many_cases.fill(served.services, CASES), CASES)
        plans = {page: many_cases.plan(served.services, wanted) for page, wanted in pages.items()}
        assert "`ix_cases_words`" in plans["one external id"]
        assert "`ix_cases_words`" in plans["a rare word (1 in 1,000)"]
        assert "`pk_cases`" in plans["a word"]
        assert not [page for page, plan in plans.items() if "every row" in plan]


@pytest.mark.postgresql
def test_without_the_index_of_words_doctor_says_how_to_make_it(postgresql_with_modules: str) -> None:
    url = many_cases.beside(postgresql_with_modules, "later")
    with house(url) as served, served.services.ground.database.engine.begin() as connection:
        assert Store(url).words().state == "ok"
        connection.execute(text("DROP INDEX ix_cases_words"))
        connection.execute(text("DROP EXTENSION pg_trgm"))
    found = Store(url).words()
    assert found.state == "warn"
    said = re.search(r"`(.+)`", found.do)
    assert said is not None
    with create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in said[1].split(";"):
            connection.execute(text(statement))
    assert Store(url).words().state == "ok"
