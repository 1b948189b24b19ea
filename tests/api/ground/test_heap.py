"""Free memory goes back to the machine; in a process of its own, since it is told once and for all."""

from __future__ import annotations

import subprocess
import sys

import pytest

HOLES = """
import sys, time
import psutil
from api.ground import heap

if sys.argv[1] == "kept":
    heap.EVERY_S = 0.05
    heap.keep_small()
blocks = [bytes(100_000) for _ in range(2_000)]
full = psutil.Process().memory_info().rss
last = blocks[-1]  # at the end of the heap: what lies before it is a hole that glibc keeps
del blocks
deadline = time.monotonic() + (10 if sys.argv[1] == "kept" else 1)
while psutil.Process().memory_info().rss > full - 100e6 and time.monotonic() < deadline:
    time.sleep(0.05)
print("given back" if psutil.Process().memory_info().rss < full - 100e6 else "held")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
@pytest.mark.parametrize(("asked", "what_comes_of_it"), [("kept", "given back"), ("not", "held")])
def test_what_is_freed_between_what_is_used_goes_back_to_the_machine(asked: str, what_comes_of_it: str) -> None:
    done = subprocess.run([sys.executable, "-c", HOLES, asked], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == what_comes_of_it
