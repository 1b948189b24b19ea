"""``python -m api.shadows``: score for one shadow until nothing waits; a worker keeps this process.

Exit 0 where nothing is left to do or other shadows wait; 1 where it cannot score at present, and the shadow says why.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

from sqlalchemy.exc import SQLAlchemyError

from api.audit.service import Audit
from api.cases.service import Cases
from api.ground.ground import Ground
from api.ground.logs import configure
from api.ground.scope import whole_process
from api.ground.secret import trail_key
from api.models.service import Models
from api.predictions.doubt import weigh
from api.settings import settings_from_environment
from api.shadows.scoring import Scoring
from clinical_mm.errors import ClinicalMMError
from clinical_mm.training.parent import end_with_parent

log = logging.getLogger(__name__)
POLL_S, IDLE_S, TURN_S = 2.0, 600.0, 60.0
"""How often it looks, how long it keeps the model loaded for nothing, and how long others wait for their turn."""
NICENESS = 10


def main() -> int:
    """Parse, score, answer with an exit status."""
    parser = argparse.ArgumentParser(prog="python -m api.shadows", description=__doc__)
    parser.add_argument("--shadow", required=True, metavar="ID")
    parser.add_argument("--with-parent", required=True, type=int, metavar="PID", help="end when our parent ends")
    chosen = parser.parse_args()
    end_with_parent(chosen.with_parent)
    os.nice(NICENESS)  # whoever waits for an answer comes first
    settings = settings_from_environment()
    configure(settings.log_format, settings.log_level, settings.otlp_logs_endpoint)
    whole_process("a shadow is scored in whatever project it is")
    ground = Ground.of(settings)
    audit = Audit(ground.database, trail_key(ground.settings.workspace), ground.settings.trail_folder)
    return follow(Scoring(ground, Cases(ground, audit, weigh), Models(ground, audit)), chosen.shadow)


def follow(scoring: Scoring, shadow: str, idle_s: float = IDLE_S, turn_s: float = TURN_S) -> int:
    """Score what comes, until nothing has come for ``idle_s``; after ``turn_s`` others that wait come first."""
    began = worked = time.monotonic()
    try:
        while True:
            scored = scoring.batch(shadow)
            if scored:
                worked = time.monotonic()
            elif scored is None or time.monotonic() - worked >= idle_s:
                return 0
            else:
                time.sleep(POLL_S)
            if time.monotonic() - began > turn_s and set(scoring.due()) - {shadow}:
                return 0
    except SQLAlchemyError as error:
        log.warning("the database does not answer: %s", type(error).__name__)
    except Exception as error:
        log.exception("shadow %s cannot score at present", shadow)
        scoring.note(shadow, _told(error))
    return 1


def _told(error: Exception) -> str:
    """Only our own errors are worded for whoever reads the report; others may name a file."""
    return str(error) if isinstance(error, ClinicalMMError) else f"{type(error).__name__}: the worker's log has more"


if __name__ == "__main__":
    sys.exit(main())
