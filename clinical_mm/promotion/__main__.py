"""``python -m clinical_mm.promotion``: compare two models in a process of its own; the service's job runs it so.

The decision goes to OUT as JSON. Exit 0 whatever it is; 1 with one clear line on stderr where there is none.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import ClinicalMMError
from clinical_mm.promotion.policy import Policy
from clinical_mm.training.parent import end_with_parent


def main() -> int:
    """Parse, compare, answer with an exit status."""
    parser = argparse.ArgumentParser(prog="python -m clinical_mm.promotion", description=__doc__)
    parser.add_argument("--champion", required=True, type=Path, metavar="BUNDLE", help="the model that serves")
    parser.add_argument("--challenger", required=True, type=Path, metavar="BUNDLE", help="the new one")
    parser.add_argument("--cases", required=True, type=Path, help="a plain folder: cases.jsonl and files")
    parser.add_argument("--policy", type=Path, help="a YAML policy in place of the one that comes along")
    parser.add_argument("--catalogue", type=Path, help="a YAML catalogue in place of the one that comes along")
    parser.add_argument("--out", required=True, type=Path, help="the decision, as JSON")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--with-parent", type=int, metavar="PID", help="end when that process, our parent, ends")
    chosen = parser.parse_args()
    if chosen.with_parent is not None:
        end_with_parent(chosen.with_parent)
    try:
        from clinical_mm.promotion.compare import compare

        policy, catalogue = Policy.load(chosen.policy), Catalogue.load(chosen.catalogue)
        decision = compare(chosen.champion, chosen.challenger, chosen.cases, policy, catalogue, chosen.device)
        fresh = chosen.out.with_name(f"{chosen.out.name}.new")
        fresh.write_text(json.dumps(decision.to_json(), indent=1), encoding="utf-8")
        fresh.replace(chosen.out)  # there whole or not at all
    except (ClinicalMMError, OSError, MemoryError, RuntimeError) as error:
        print(" ".join(f"{error}".split()) or type(error).__name__, file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
