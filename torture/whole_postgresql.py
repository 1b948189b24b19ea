"""A PostgreSQL server of this machine's package, with the modules that come with it, such as ``pg_trgm``.

The tests' own server comes from a wheel that has none of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = Path("/usr/lib/postgresql")
"""Where Debian and Ubuntu lay each major version."""


def programs() -> Path | None:
    """The folder of the newest version's programs; None where there is none."""
    found = [path.parent for path in PACKAGES.glob("*/bin/initdb")]
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


@contextmanager
def whole_postgresql(programs: Path) -> Iterator[str]:
    """A fresh server on a socket of its own."""
    folder = Path(tempfile.mkdtemp(prefix="cmm-pg-"))  # short: a socket's path holds 107 characters at most
    data, user = folder / "data", "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    if user is not None:
        shutil.chown(folder, user)
    folder.chmod(0o755)

    def call(program: str, *options: str) -> None:
        command = [str(programs / program), "-D", str(data), *options]
        subprocess.run(command, user=user, check=True, stdout=subprocess.DEVNULL, cwd="/")

    call("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8")
    call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", f"-k {folder} -h ''", "start")
    try:
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        call("pg_ctl", "-w", "-m", "fast", "stop")
        shutil.rmtree(folder, ignore_errors=True)
