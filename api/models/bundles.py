"""Where bundles lie: a folder of this machine; and, where blobs are in an object store, there too.

A worker then registers what servers on other machines fetch when they first need it. An object that names every file
with its hash is written last, and a folder is renamed into place: whole on either side, or not there.
"""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath

from api.ground.blobs import Blobs
from clinical_mm.digests import content_hash
from clinical_mm.errors import InvalidBundle


class Bundles:
    """The bundles of every project."""

    def __init__(self, models_folder: Path, blobs: Blobs) -> None:
        self._models, self._blobs = models_folder, blobs

    def place(self, model_id: str, bundle: Path) -> Path:
        """Take a bundle in; again is no error. Gives where it lies."""
        folder = self._models / model_id
        if not folder.exists():
            fresh = folder.with_name(f"{folder.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(bundle, fresh)
            fresh.rename(folder)
        self.share(model_id)
        return folder

    def share(self, model_id: str) -> None:
        """Put a bundle of this machine into the object store, where there is one."""
        if self._blobs.is_folder:
            return
        folder, listed = self._models / model_id, dict[str, str]()
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name, data = path.relative_to(folder).as_posix(), path.read_bytes()
            listed[name] = content_hash(data).hexdigest()
            self._blobs.put_named(f"models/{model_id}/{name}", data)
        self._blobs.put_named(_list(model_id), json.dumps(listed, indent=1).encode())

    def folder(self, model_id: str) -> Path:
        """Where a bundle lies, fetched first where only the object store has it; there is none: a folder that is not.

        Raises:
            InvalidBundle: a file in the store is not what was put there.
        """
        folder = self._models / model_id
        if folder.exists() or self._blobs.is_folder:
            return folder
        try:
            listed: dict[str, str] = json.loads(self._blobs.get_named(_list(model_id)))
            fresh = folder.with_name(f"{folder.name}.new-{secrets.token_hex(4)}")
            for name, digest in listed.items():
                self._fetch(model_id, name, digest, fresh)
        except FileNotFoundError:
            return folder
        with suppress(OSError):  # another thread or process was quicker
            fresh.rename(folder)
        shutil.rmtree(fresh, ignore_errors=True)
        return folder

    def _fetch(self, model_id: str, name: str, digest: str, fresh: Path) -> None:
        data = self._blobs.get_named(f"models/{model_id}/{name}")
        if content_hash(data).hexdigest() != digest or ".." in PurePosixPath(name).parts:
            raise InvalidBundle(f"{name} of model {model_id} is not what was put into the object store")
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _list(model_id: str) -> str:
    return f"models/{model_id}.json"
