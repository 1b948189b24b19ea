"""The decoders that run for this process."""

from __future__ import annotations

from contextlib import suppress

import psutil


def decoder_processes() -> list[psutil.Process]:
    """Those that live; one that has just been killed may not be buried yet."""
    found = []
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # zombies too
            if "clinical_mm.pictures.decoder" in process.cmdline():
                found.append(process)
    return found
