"""From where a browser was signed in, as its owner knows it again. A browser names itself, which proves nothing."""

from __future__ import annotations

from dataclasses import dataclass

BROWSERS = {"Edg": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrom": "Chrome", "Safari/": "Safari"}
SYSTEMS = {
    "Windows": "Windows",
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}
"""Marks in a User-Agent, those first that stand beside the others' (Edge also calls itself Chrome and Safari)."""


@dataclass(frozen=True)
class Seat:
    """An address, and a browser's and a system's name."""

    address: str
    browser: str

    @classmethod
    def of(cls, address: str, user_agent: str) -> Seat:
        """What of them is worth keeping."""
        browser, system = (_first(marks, user_agent) for marks in (BROWSERS, SYSTEMS))
        return cls(address[:80], " on ".join(filter(None, (browser or "another program", system))))


def _first(marks: dict[str, str], text: str) -> str:
    return next((name for mark, name in marks.items() if mark in text), "")
