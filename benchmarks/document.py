"""Sections of a document that scripts write."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path


def write_section(document: Path, name: str, title: str, body: str, seconds: float) -> None:
    """Replace the section ``name`` of a document, or add it at the end; with date, versions and machine."""
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "monai", "transformers", "captum", "flask"))
    here = f"{machine()}, Python {platform.python_version()}, {versions}"
    stamp = f"{datetime.now(UTC):%Y-%m-%d}, {here}; took {seconds:.0f} s"
    section = f"<!-- {name} -->\n## {title}\n\n{body.strip()}\n\n*{stamp}*\n<!-- /{name} -->\n"
    text = document.read_text(encoding="utf-8")
    pattern = re.compile(rf"<!-- {name} -->.*?<!-- /{name} -->\n", re.DOTALL)
    text = pattern.sub(lambda _: section, text) if pattern.search(text) else f"{text.rstrip()}\n\n{section}"
    document.write_text(text, encoding="utf-8")


def machine() -> str:
    """Its cores, processor and GPU."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    return f"{os.cpu_count()} cores {platform.machine()}{gpu}"
