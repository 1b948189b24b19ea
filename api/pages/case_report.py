"""A case on one page of paper: what it brought, what the model said and why, and the reviewer's word.

It shows what the case's own page shows to the same reader: where that hides the model's answer, there is no report yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, render_template, request, url_for

from api.access.guard import caller, needs
from api.access.service import Caller, Role
from api.cases.schemas import CaseOut
from api.explanations.schemas import ExplanationOut
from api.ground.clock import now
from api.pages.case_page import case_view
from api.pages.measures import MeasureRow
from api.pages.read_first import refuse_hidden
from api.pages.wording import moment
from api.pages.words import Piece
from api.services import Services

NOTE_CHARACTERS, COMMENT_CHARACTERS = 1000, 280
MOST_PICTURES, MOST_MEASURES, MOST_REVIEWS = 2, 18, 2
"""What a usual case has fits; what does not is counted on the page."""
PICTURE_PIXELS = 512


def add(pages: Blueprint, services: Services) -> None:
    """Add this route."""

    @pages.get("/cases/<case_id>/report", endpoint="case_report")
    @needs(Role.VIEWER)
    def show(case_id: str) -> str:
        refuse_hidden(services, caller(), case_id)
        asked = request.args.get("target"), request.args.get("method")
        view = case_view(services, caller(), case_id, *asked)
        return render_template("case_report.html", **{**view, **report_view(services, caller(), view)})


def report_view(services: Services, who: Caller, view: dict[str, Any]) -> dict[str, Any]:
    """What the sheet says beyond the case's page."""
    case, prediction, explanation = view["case"], view["prediction"], view["explanation"]
    standing = [review for review in view["history"] if not review["withdrawn"]]
    shown, left_out = shortened(view["words"], NOTE_CHARACTERS)
    return {
        "pictures": _pictures(case, explanation),
        "note": shown,
        "note_left_out": left_out,
        "measures": most_telling(view["measures"], MOST_MEASURES),
        "measures_left_out": max(0, len(view["measures"]) - MOST_MEASURES),
        "account": account(explanation, view["shares"]) if explanation else "",
        "model": services.models.get(who, prediction.model) if prediction else None,
        "reviews": standing[:MOST_REVIEWS],
        "reviews_left_out": max(0, len(standing) - MOST_REVIEWS),
        "comment_characters": COMMENT_CHARACTERS,
        "printed": moment(now()),
    }


def shortened(pieces: Sequence[Piece], most: int) -> tuple[list[Piece], int]:
    """The note's beginning, of ``most`` characters and to the end of a word, and how many characters are left out."""
    kept: list[Piece] = []
    room = most
    for piece in pieces:
        if len(piece.text) > room:
            start = piece.text[:room].rsplit(None, 1)[0] if not piece.marked and room else ""
            kept.append(Piece(start))
            break
        kept.append(piece)
        room -= len(piece.text)
    return kept, sum(len(p.text) for p in pieces) - sum(len(p.text) for p in kept)


def most_telling(rows: Sequence[MeasureRow], most: int) -> list[MeasureRow]:
    """Values that lie outside their normal range and those that say most, in the order given."""
    ranked = sorted(rows, key=lambda row: (row.state == "normal", -row.share))[:most]
    return [row for row in rows if row in ranked]


def account(explanation: ExplanationOut, shares: Sequence[dict[str, Any]]) -> str:
    """The sum in words, on the scale of the explanation and as probabilities."""
    parts = [
        f"the {share['display'].lower()} {'adds' if share['contribution'] >= 0 else 'takes away'} "
        f"{abs(share['contribution']):.2f}"
        for share in sorted(shares, key=lambda share: -abs(share["contribution"] or 0.0))
        if share["present"] and share["contribution"] is not None
    ]
    before, after = explanation.baseline_value, explanation.value
    return (
        f"{before:+.2f} ({_percent(before)}) before any evidence; {', '.join(parts)}; "
        f"together {after:+.2f} ({_percent(after)})."
    ).replace("-", "−")


def _percent(log_odds: float) -> str:
    return f"{100 / (1 + math.exp(-log_odds)):.0f}\u202f%"


def _pictures(case: CaseOut, explanation: ExplanationOut | None) -> list[dict[str, Any]]:
    """Each picture, and beside it the same with its heat map; those of the strongest evidence where it is explained."""
    if explanation is None or not explanation.images:
        return [_picture(case, file.position, file.frames // 2) for file in case.files[:MOST_PICTURES]]
    return [
        {
            **_picture(case, heat.file, heat.frame),
            "heatmap": url_for("pages.heatmap", explanation_id=explanation.id, n=n),
            "peak": heat.peak,
            "radius": max(case.files[heat.file].rows, case.files[heat.file].columns) / 12,
        }
        for n, heat in enumerate(explanation.images[:MOST_PICTURES])
    ]


def _picture(case: CaseOut, position: int, frame: int) -> dict[str, Any]:
    file = case.files[position]
    told = [file.attributes.get(name) for name in ("modality", "body_part", "view_position")]
    of_frames = f", frame {frame + 1} of {file.frames}" if file.frames > 1 else ""
    return {
        "address": url_for("pages.preview", case_id=case.id, n=position, frame=frame, size=PICTURE_PIXELS),
        "label": (" ".join(str(part) for part in told if part) or file.name) + of_frames,
        "rows": file.rows,
        "columns": file.columns,
    }
