"""``python -m clinical_mm.phantom OUT --cases 1000 --seed 0``: synthetic cases and their truth as files.

OUT becomes a plain folder (cases.jsonl and DICOM files, what ``cases import --format folder`` reads) with two more:
truth.jsonl, a case a line: what each modality shows, the characters that tell, what each vital speaks for, and the
Bayes posterior; and masks/NAME.npz with the pixels of each finding.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from clinical_mm.case import Case
from clinical_mm.importing.folder import write_folder
from clinical_mm.phantom import DIAGNOSES, PhantomCase, draw, posterior


def write(out: Path, count: int, seed: int) -> None:
    """Write them, each case's truth as it is drawn; raises FileExistsError where there is something already."""
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty")
    (out / "masks").mkdir(parents=True)
    write_folder(_cases(out, count, seed), out)


def _cases(out: Path, count: int, seed: int) -> Iterator[Case]:
    from tqdm import tqdm

    with (out / "truth.jsonl").open("w", encoding="utf-8") as lines:
        for drawn in tqdm(draw(count, seed), "synthetic cases", total=count, unit="case", disable=None):
            lines.write(json.dumps(_truth(drawn)) + "\n")
            for image, masks in zip(drawn.case.images, drawn.truth.masks, strict=True):
                named: dict[str, Any] = dict(masks)
                np.savez_compressed(out / "masks" / f"{Path(image.name).stem}.npz", **named)
            yield drawn.case


def _truth(drawn: PhantomCase) -> dict[str, Any]:
    truth = drawn.truth
    told = asdict(truth.evidence)
    return {
        "external_id": drawn.case.external_id,
        "evidence": told,
        "spans": [asdict(span) for span in truth.spans],
        "vitals": truth.vitals,
        "posterior": dict(zip(DIAGNOSES, posterior(truth.evidence).round(6).tolist(), strict=True)),
    }


def main() -> int:
    """Parse, write, answer with an exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m clinical_mm.phantom", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    try:
        write(chosen.out, chosen.cases, chosen.seed)
    except OSError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
