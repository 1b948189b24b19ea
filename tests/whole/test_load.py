"""Twenty seconds of the load test (benchmarks/load.py): every kind of call, rightly answered, on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.ground.migrate import upgrade
from api.services import build
from benchmarks.load import Memory, measure
from benchmarks.storm import MIX, Clients
from tests.api.conftest import BareSettings
from torture.postgresql import postgresql


@pytest.mark.slow
@pytest.mark.postgresql
def test_mixed_traffic_meets_no_error(tmp_path: Path, trained_bundle: Path) -> None:
    workspace = tmp_path / "workspace"
    with postgresql() as server:
        url = server.url
        settings = BareSettings(workspace=workspace, database_url=url)
        upgrade(settings)
        services = build(settings)
        services.models.register(services.access.operator("default"), None, trained_bundle, "tiny")
        services.close()
        report = measure(workspace, url, seconds=20, rate=5, clients=8, processes=2)
    assert report.errors == []
    assert {kind for kind, one in report.heard.items() if one.seconds} == set(MIX)
    assert 50 < sum(len(one.seconds) for one in report.heard.values()) < 200
    lasting = [memory for memory in report.memory if not memory.name.startswith("decoder")]  # those come and go
    assert {memory.name.split()[0] for memory in lasting} == {"server", "web", "job"}
    assert all(memory.slope() is not None for memory in lasting)
    assert "| all |" in report.table()


def test_a_storm_is_sent_nowhere_but_to_this_machine() -> None:
    with pytest.raises(ValueError, match="this machine alone"):
        Clients("http://192.0.2.7:8000", ["key"])


def test_a_slope_has_an_interval_and_leaves_out_the_warming_up() -> None:
    memory = Memory("web 1", [float(60 * n) for n in range(31)], [100.0] * 6 + [200.0 + n % 2 for n in range(25)])
    slope = memory.slope()
    assert slope is not None
    assert abs(slope[0]) < slope[1]
    leaking = Memory("web 2", [float(60 * n) for n in range(31)], [200.0 + n for n in range(31)])
    assert leaking.slope() == (pytest.approx(60, abs=0.1), pytest.approx(0, abs=0.1))
