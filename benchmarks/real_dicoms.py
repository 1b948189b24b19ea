"""Real DICOM files: which enter, which are refused, with which HTTP status and reason."""

from __future__ import annotations

import os
from pathlib import Path

from clinical_mm.pictures import UnreadableFile, UnsupportedFile, read_picture

TITLE = "Real DICOM files"
FOLDER = Path(os.environ.get("CLINICAL_MM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "dicom"


def run() -> str:
    if not FOLDER.is_dir():
        raise FileNotFoundError(f"no real files here: {FOLDER.name}")
    files = sorted(path for path in FOLDER.iterdir() if path.suffix != ".csv")
    return "\n".join(["| file | answer | what it is, or why not |", "|---|---|---|", *map(row, files)])


def row(path: Path) -> str:
    status, told = outcome(path.read_bytes())
    return f"| {path.name} | {status} | {told} |"


def outcome(data: bytes) -> tuple[str, str]:
    try:
        picture = read_picture(data)
    except UnsupportedFile as error:
        return "refused, 415", str(error)
    except UnreadableFile as error:
        return "refused, 422", str(error)
    rows, columns = picture.size
    kind = picture.attributes
    frames = f"{picture.frame_count} frames of " if picture.frame_count > 1 else ""
    return (
        "enters",
        f"{kind.get('modality')}, {frames}{rows} x {columns}, {kind['photometric']}, {kind['transfer_syntax_name']}",
    )


if __name__ == "__main__":
    print(run())
