"""The feature cache: whole or not there, whoever writes at the same time, whatever dies in the middle."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clinical_mm import features
from clinical_mm.features import MB, FeatureCache, Features

WRITER = """
import sys, numpy as np
from pathlib import Path
from clinical_mm.features import FeatureCache, Features
path, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
cache = FeatureCache(path, 2**30)
print("ready", flush=True)
for number in range(first, last):
    states = np.full((20, 8), number % 1000, np.float16)
    cache.put("encoder", {f"{number}-{part}": Features(states, np.ones(20, bool)) for part in range(4)})
"""


def some(value: float = 1.0, tokens: int = 5) -> Features:
    return Features(np.full((tokens, 4), value, np.float16), np.arange(tokens) != 1)


def writer(path: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features.db", MB)


def test_what_was_kept_comes_back_bit_for_bit_in_another_process_too(cache: FeatureCache) -> None:
    kept = Features(
        np.random.default_rng(0).normal(size=(7, 3)).astype(np.float16),
        np.array([True, True, False, True, True, True, True]),
        {"kind": np.array([["CHEST", ""]]), "origin": np.arange(4, dtype=np.int64).reshape(1, 1, 4)},
    )
    cache.put("encoder", {"content": kept})
    found = FeatureCache(cache.path, MB).get("encoder", ["content", "another"])
    assert set(found) == {"content"}
    again = found["content"]
    assert again.states.tobytes() == kept.states.tobytes()
    assert again.mask.tolist() == kept.mask.tolist()
    for name, array in kept.aside.items():
        assert again.aside[name].dtype == array.dtype
        assert np.array_equal(again.aside[name], array)


def test_another_encoder_knows_nothing_of_it(cache: FeatureCache) -> None:
    cache.put("one", {"content": some()})
    assert cache.get("another", ["content"]) == {}


def test_writers_at_the_same_time_lose_nothing_and_count_each_content_once(cache: FeatureCache) -> None:
    """Four processes, each of whose contents another one writes too."""
    writers = [writer(cache.path, first, first + 40) for first in (0, 20, 40, 60)]
    assert [one.wait(timeout=120) for one in writers] == [0] * 4
    names = [f"{number}-{part}" for number in range(100) for part in range(4)]
    found = cache.get("encoder", names)
    assert set(found) == set(names)
    assert all(float(found[name].states[0, 0]) == int(name.split("-")[0]) for name in names)
    assert cache.bytes_kept() == len(names) * (2 * 20 * 8 + 20 + len("{}"))


def test_a_writer_killed_at_any_moment_leaves_whole_features_alone(cache: FeatureCache) -> None:
    rng = np.random.default_rng(0)
    for turn in range(6):
        process = writer(cache.path, turn * 10_000, turn * 10_000 + 10_000)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.01, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with sqlite3.connect(cache.path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = [name for (name,) in database.execute("SELECT content FROM entries")]
        sizes = database.execute("SELECT sum(size) FROM entries").fetchone()[0]
    found = cache.get("encoder", names)
    assert len(names) > 0
    assert set(found) == set(names)
    assert all(one.states.shape == (20, 8) and len(set(one.states.ravel().tolist())) == 1 for one in found.values())
    assert len(names) % 4 == 0, "what is put together is there together"
    assert cache.bytes_kept() == sizes


def test_it_stays_below_its_bound_and_lets_the_longest_unused_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = some()
    cache = FeatureCache(tmp_path / "features.db", 100 * (2 * one.states.size + one.mask.size + 2))
    moment = 1_000_000_000.0
    monkeypatch.setattr(features.time, "time", lambda: moment)
    cache.put("encoder", {f"old {i}": one for i in range(50)})
    moment += 10_000
    cache.put("encoder", {f"newer {i}": one for i in range(50)})
    moment += 10_000
    assert cache.get("encoder", ["old 0"])
    cache.put("encoder", {f"newest {i}": one for i in range(20)})
    assert cache.bytes_kept() <= cache.limit_bytes
    assert len(cache.get("encoder", [f"newest {i}" for i in range(20)])) == 20
    assert cache.get("encoder", ["old 0"]), "used lately"
    assert not cache.get("encoder", ["old 1"])


def test_a_training_larger_than_the_bound_keeps_what_fits_and_does_not_push_out_its_own(tmp_path: Path) -> None:
    one = some()
    cache = FeatureCache(tmp_path / "features.db", 100 * (2 * one.states.size + one.mask.size + 2))
    for i in range(300):
        cache.put("encoder", {f"case {i}": one})
    assert len(cache.get("encoder", [f"case {i}" for i in range(300)])) == 100


def test_what_is_forgotten_is_gone_from_the_files_too(cache: FeatureCache) -> None:
    mark = np.frombuffer(b"a patient's image" * 40, np.uint8)[:512].copy().view(np.float16).reshape(-1, 4)
    cache.put("encoder", {"his": Features(mark, np.ones(len(mark), bool)), "hers": some()})
    cache.close()
    assert any(b"a patient's image" in file.read_bytes() for file in cache.path.parent.iterdir())
    cache.forget(["his"])
    assert set(cache.get("encoder", ["his", "hers"])) == {"hers"}
    assert not any(b"a patient's image" in file.read_bytes() for file in cache.path.parent.iterdir())


def test_a_damaged_file_is_told_and_begun_anew(cache: FeatureCache, caplog: pytest.LogCaptureFixture) -> None:
    cache.path.write_bytes(b"this is no database" * 1000)
    with caplog.at_level(logging.WARNING):
        assert cache.get("encoder", ["content"]) == {}
    assert "cannot be read" in caplog.text
    cache.put("encoder", {"content": some()})
    assert set(cache.get("encoder", ["content"])) == {"content"}


def test_a_file_of_another_format_is_begun_anew(cache: FeatureCache) -> None:
    cache.put("encoder", {"content": some()})
    cache.close()
    with sqlite3.connect(cache.path) as database:
        database.execute("PRAGMA user_version = 99")
    assert cache.get("encoder", ["content"]) == {}
    cache.put("encoder", {"content": some()})
    assert set(cache.get("encoder", ["content"])) == {"content"}


def test_where_nothing_can_be_written_work_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = FeatureCache(tmp_path / "file" / "features.db", MB)
    cache.put("encoder", {"content": some()})
    assert cache.get("encoder", ["content"]) == {}
    cache.forget(["content"])
    assert cache.bytes_kept() == 0
    assert "cannot be written" in caplog.text
