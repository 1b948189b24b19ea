"""Units are converted right from the first moment, by many threads at once."""

from __future__ import annotations

import subprocess
import sys

CODE = """
from concurrent.futures import ThreadPoolExecutor
from clinical_mm import Catalogue

catalogue = Catalogue.load()
with ThreadPoolExecutor(12) as pool:
    found = set(pool.map(lambda _: round(catalogue.measure("temperature", 101.3, "[degF]"), 6), range(24)))
print(sorted(found))
"""


def test_many_threads_convert_at_the_very_first_use() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "[38.5]", done.stderr[-500:]
