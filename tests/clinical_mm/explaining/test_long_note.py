"""A note of ten thousand words is explained to the end, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = 10_000
MOST_MIB = 2048
EXPLAIN = """
import json, resource, sys
from clinical_mm import Case, load_model

model = load_model(sys.argv[1], "cpu")
sentence = "Chest pain on the left side for days, productive cough, no fever today. "
note = sentence * (int(sys.argv[2]) // len(sentence.split()))
case = Case.from_files(note=note, vitals={"spo2": 88, "heart_rate": 112})
model.explain(Case.from_files(note=sentence, vitals={"spo2": 88}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
account = model.explain(case)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(json.dumps([len(account.text), account.text[-1].end, len(note), account.completeness_error, grown]))
"""


@pytest.mark.slow
def test_every_word_is_told_what_it_adds_within_one_per_cent_and_two_gibibytes(trained_bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXPLAIN, str(trained_bundle), str(WORDS)], capture_output=True, text=True, check=True
    )
    spans, end, length, error, grown_mib = json.loads(done.stdout.splitlines()[-1])
    assert spans >= WORDS * 0.99
    assert length - 3 <= end <= length
    assert error <= 0.01
    assert grown_mib < MOST_MIB
