"""Pages of cases over HTTP with a thousand and with a million of them stored (target S9), on SQLite and PostgreSQL."""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import insert, text
from sqlalchemy.dialects import postgresql, sqlite

from api.cases import worklist
from api.cases.schemas import CaseFilter
from api.cases.tables import NOT_KNOWN, CaseLabelRow, CaseRow
from api.ground.clock import now, rfc3339
from api.ground.ids import first_id
from api.ground.scope import whole_process
from api.services import Services
from torture.house import House, house
from torture.postgresql import postgresql as bare_postgresql
from torture.whole_postgresql import programs, whole_postgresql

TITLE = "A page of cases among a million (S9)"
FEW, MANY = 1_000, 1_000_000
TURNS, LIMIT, AT_ONCE, APART, SEED = 30, 50, 20_000, timedelta(seconds=20), 0
WORDS = [
    "fever",
    "cough",
    "dyspnoea",
    "chest",
    "pain",
    "crackles",
    "at",
    "the",
    "left",
    "base",
    "sputum",
    "pleuritic",
    "oedema",
    "of",
    "both",
    "legs",
    "wheeze",
]
CODES = ["pneumonia", "covid-19", "heart-failure", "copd-exacerbation"]


def run(many: int = MANY) -> str:
    tables, installed = [], programs()
    with ExitStack() as stack:
        if installed:
            url = stack.enter_context(whole_postgresql(installed))
        else:
            url = stack.enter_context(bare_postgresql()).url
        for name, where in (("SQLite", ("", "")), ("PostgreSQL", (beside(url, "few"), beside(url, "many")))):
            few, full = (stack.enter_context(house(one)) for one in where)
            newest = [fill(few.services, FEW), fill(full.services, many)]
            tables.append(table(name, few, full, newest[1], many))
            print(tables[-1], file=sys.stderr, flush=True)
    head = (
        f"p95 of {TURNS} requests for each page, {LIMIT} cases a page; one client, in the server's process. A quarter "
        "of the cases has a label, a tenth a review; one diagnosis is that of every thousandth case, as is one word. "
        f"PostgreSQL {'has' if installed else 'is without'} `pg_trgm`."
    )
    return "\n\n".join([head, *tables])


def beside(url: str, name: str) -> str:
    """Another database of the same server."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return url.replace("/postgres?", f"/{name}?", 1)


def fill(services: Services, count: int) -> datetime:
    """Write rows as the service would have, one every so many seconds until now; gives when the newest was stored."""
    project, start = services.access.operator("default").project_id, now() - APART * count
    chance = random.Random(SEED)
    database = services.ground.database
    for first in range(0, count, AT_ONCE):
        rows = [row(project, start + APART * n, n, chance) for n in range(first, min(count, first + AT_ONCE))]
        with database.transaction() as session:
            session.execute(insert(CaseRow), rows)
            labels = [
                {"project_id": project, "code": code, "case_id": case["id"]}
                for case in rows
                for code in case["diagnoses"] or ()
            ]
            session.execute(insert(CaseLabelRow), labels)
    if database.engine.dialect.name == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE cases, case_labels"))  # as its own housekeeping does after a while
    return start + APART * (count - 1)


def row(project: str, moment: datetime, number: int, chance: random.Random) -> dict[str, Any]:
    labelled = number % 4 == 0
    code = "tuberculosis" if number % 1000 == 500 else chance.choice(CODES)
    state = 2 if number % 40 == 1 else 1 if number % 40 in {2, 3, 4} else 0 if labelled else 3
    return {
        "id": f"{first_id('case', moment)}{number:011d}",
        "project_id": project,
        "external_id": f"acc-{number}",
        "patient_id": f"p-{number // 3}",
        "note": " ".join([*chance.choices(WORDS, k=16), *(["sarcoidosis"] if number % 1000 == 77 else [])]),
        "vitals": {"spo2": 90},
        "diagnoses": [code] if labelled or code == "tuberculosis" else None,
        "given_diagnoses": None,
        "review_state": state,
        "golden_at": moment if number % 1000 == 4 else None,
        "contested": False,
        "uncertainty": round(chance.random(), 6) if number % 2 else NOT_KNOWN,
        "disagreement": round(chance.random(), 6) if number % 5 == 0 else NOT_KNOWN,
        "information": round(chance.random(), 6) if number % 2 else NOT_KNOWN,
        "synthetic": True,
        "created_at": moment,
        "updated_at": moment,
        "version": 1,
    }


def pages(newest: datetime, count: int) -> dict[str, dict[str, Any]]:
    """What readers and programs ask for."""
    return {
        "newest": {},
        "worklist": {"order": "worklist"},
        "by uncertainty, unlabelled": {"order": "uncertainty", "labelled": False},
        "labelled": {"labelled": True},
        "unsure (1 in 40)": {"review": "unsure"},
        "unsure, by disagreement": {"review": "unsure", "order": "disagreement"},
        "a diagnosis (1 in 16)": {"diagnosis": "covid-19"},
        "a rare diagnosis (1 in 1,000)": {"diagnosis": "tuberculosis"},
        "a rare diagnosis, as worklist": {"diagnosis": "tuberculosis", "order": "worklist"},
        "the golden set (1 in 1,000)": {"golden": True},
        "stored in the last day": {"since": rfc3339(newest - timedelta(days=1))},
        "stored in the last ten minutes": {"since": rfc3339(newest - timedelta(minutes=10))},
        "a word": {"q": "wheeze"},
        "a rare word (1 in 1,000)": {"q": "sarcoidosis"},
        "one external id": {"q": f"acc-{count // 2}"},
    }


def table(name: str, few: House, full: House, newest: datetime, many: int) -> str:
    asked = [pages(newest, FEW), pages(newest, many)]
    taken = [measure(few, asked[0]), measure(full, asked[1])]
    lines = [f"| {name}: page | of {FEW:,}, ms | of {many:,}, ms | ratio | by |", "|---|---|---|---|---|"]
    for page in asked[0]:
        p95 = [statistics.quantiles(one[page], n=20)[18] * 1000 for one in taken]
        index = plan(full.services, asked[1][page])
        lines.append(f"| {page} | {p95[0]:.1f} | {p95[1]:.1f} | {p95[1] / p95[0]:.2f} | {index} |")
    whole = [statistics.quantiles([s for page in one.values() for s in page], n=20)[18] * 1000 for one in taken]
    lines.append(
        f"| **all of them** | {whole[0]:.1f} | {whole[1]:.1f} | **{whole[1] / whole[0]:.2f}** (target <= 3) | |"
    )
    return "\n".join(lines)


def measure(where: House, asked: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    headers = {"Authorization": f"Bearer {where.key}"}
    taken: dict[str, list[float]] = {page: [] for page in asked}
    with httpx.Client(base_url=f"{where.address}/v1", headers=headers, timeout=120) as client:
        for _ in range(TURNS + 1):
            for page, wanted in asked.items():
                began = time.perf_counter()
                client.post("/cases/search", json={"limit": LIMIT, **wanted}).raise_for_status()
                taken[page].append(time.perf_counter() - began)
    return {page: seconds[1:] for page, seconds in taken.items()}


def plan(services: Services, params: dict[str, Any]) -> str:
    """Which index the database goes by."""
    engine = services.ground.database.engine
    postgres = engine.dialect.name == "postgresql"
    project = services.access.operator("default").project_id
    query = worklist.page(project, CaseFilter.model_validate({**params, "limit": LIMIT})).limit(LIMIT + 1)
    dialect = postgresql.dialect() if postgres else sqlite.dialect()  # type: ignore[no-untyped-call]
    said = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    with engine.connect() as connection:
        told = connection.exec_driver_sql(f"EXPLAIN {said}" if postgres else f"EXPLAIN QUERY PLAN {said}")
        lines = [str(line[0] if postgres else line[3]) for line in told]
    return ", ".join(shortly(lines))


def shortly(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if found := re.search(r"(?:USING (?:COVERING )?INDEX|using|Index Scan on) (\w+)", line):
            yield f"`{found[1]}`"
        elif ("Sort" in line and "Key" not in line) or "TEMP B-TREE" in line:
            yield "sort"
        elif re.search(r"Seq Scan|^SCAN", line):
            yield "every row"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_cases", description=__doc__)
    parser.add_argument("--many", type=int, default=MANY, help="how many are many")
    whole_process("the benchmark is its own operator")
    print(run(parser.parse_args().many))
