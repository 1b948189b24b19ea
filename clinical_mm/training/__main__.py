"""``python -m clinical_mm.training``: one training as a process of its own; the service's job runs it so.

Progress goes to ``OUT/progress.jsonl``, a JSON object a line; stages and epochs are logged on stderr.
Exit 0; 1 with one clear line at the end of stderr.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from clinical_mm.catalogue import Catalogue
from clinical_mm.config import ModelConfig
from clinical_mm.errors import ClinicalMMError, InvalidConfig
from clinical_mm.features import MB, FeatureCache
from clinical_mm.training.alone import alone_in
from clinical_mm.training.parent import end_with_parent
from clinical_mm.training.progress import Diary, Progress
from clinical_mm.training.reasons import reason
from clinical_mm.training.trackers.mlflow import TRACKING_URI, mlflow_trackers
from clinical_mm.training.trials import TRIALS_URL, Storage


def main() -> int:
    """Parse, train, answer with an exit status."""
    chosen = _parser().parse_args()
    lines, handler = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ"), logging.StreamHandler()
    lines.converter = time.gmtime
    handler.setFormatter(lines)
    logging.basicConfig(handlers=[handler])
    logging.getLogger("clinical_mm").setLevel(logging.INFO)
    if chosen.with_parent is not None:
        end_with_parent(chosen.with_parent)
    try:
        _train(chosen)
    except KeyboardInterrupt:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    except (ClinicalMMError, OSError, MemoryError, RuntimeError) as error:
        print(reason(error), file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clinical_mm.training", description=__doc__)
    parser.add_argument("--config", required=True, help="a name under configs/models, or a YAML or JSON file")
    parser.add_argument("--snapshot", required=True, type=Path, help="a plain folder: cases.jsonl and files")
    parser.add_argument("--out", required=True, type=Path, help="checkpoints, logs and the bundle; again = go on")
    parser.add_argument("--catalogue", type=Path, help="a YAML catalogue in place of the one that comes along")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--start-from", type=Path, metavar="BUNDLE", help="start from the weights of that model")
    parser.add_argument(
        "--study", metavar="NAME", help=f"keep a search's trials so named in the database ${TRIALS_URL}"
    )
    parser.add_argument("--features", type=Path, metavar="FILE", help="keep tokens of frozen encoders there")
    parser.add_argument("--features-mb", type=int, default=4096, help="at most so much of them")
    parser.add_argument("--run-id", default="", metavar="ID", help=f"what the tracking server ${TRACKING_URI} is told")
    parser.add_argument("--with-parent", type=int, metavar="PID", help="end when that process, our parent, ends")
    return parser


def _train(chosen: argparse.Namespace) -> None:
    chosen.out.mkdir(parents=True, exist_ok=True)
    alone_in(chosen.out)
    config = _config(chosen.config)
    trackers = mlflow_trackers(os.environ.get(TRACKING_URI, ""), chosen.out, chosen.run_id)
    if trackers:  # they are told of an end by a signal too
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (chosen.out / "progress.jsonl").open("a", encoding="utf-8") as lines:
        diary = Diary()

        def tell(progress: Progress) -> None:
            diary(progress)
            lines.write(json.dumps(progress.to_json()) + "\n")
            lines.flush()

        from clinical_mm.training.run import train

        catalogue = Catalogue.load(chosen.catalogue)
        known: dict[str, Any] = {"catalogue": catalogue, "device": chosen.device, "start": chosen.start_from}
        trials = None if chosen.study is None else Storage(os.environ[TRIALS_URL], chosen.study)
        features = None if chosen.features is None else FeatureCache(chosen.features, chosen.features_mb * MB)
        known |= {"trials": trials, "features": features, "trackers": trackers}
        train(config, chosen.snapshot, chosen.out, **known, progress=tell)


def _config(name_or_path: str) -> ModelConfig:
    if name_or_path.endswith(".json"):
        try:
            data = json.loads(Path(name_or_path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidConfig(f"{name_or_path}: not JSON: {error}") from error
        return ModelConfig.parse(data, name_or_path)
    return ModelConfig.load(name_or_path)


if __name__ == "__main__":
    sys.exit(main())
