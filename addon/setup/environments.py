# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments that the set-up made, in this Blender's user folder and in those of other versions. No bpy.

An environment is a folder below `environments/` with a stamp in it. The stamp is written last, so that what has none was never
finished and counts for nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ...core.errors import InvalidFile
from ...core.files import read_json, write_json

FOLDER = "environments"
STAMP = "splatonym.json"
_VERSION = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Environment:
    """A finished environment: where it lies, which add-on made it from which requirements, and with which build of torch."""

    folder: Path
    version: str
    requirements: str
    build: str
    python: str

    @property
    def interpreter(self) -> Path:
        return interpreter_of(self.folder)


def interpreter_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint(requirements: Path) -> str:
    """Changes whenever the packages that the server wants change."""
    content = b"\0".join((requirements / name).read_bytes().replace(b"\r", b"") for name in ("server.in", "server.txt"))
    return hashlib.sha256(content).hexdigest()[:16]


def stamp(environment: Environment) -> None:
    """Say that an environment is finished."""
    words = asdict(environment)
    del words["folder"]  # it may be found from elsewhere, or be moved with the user's files
    write_json(environment.folder / STAMP, words)


def find(base: Path, wanted: str) -> Environment | None:
    """The environment to use: of the wanted requirements if there is one, here before elsewhere; else the newest of others."""
    found = [*_finished(base), *(made for other in elsewhere(base) for made in _finished(other))]
    return next((made for made in found if made.requirements == wanted), found[0] if found else None)


def elsewhere(base: Path) -> Iterator[Path]:
    """The same folder of other versions of Blender, the newest first: .../5.1/extensions/... beside .../5.2/extensions/..."""
    for place, part in enumerate(base.parts):
        if _VERSION.fullmatch(part):
            above = Path(*base.parts[:place])
            try:
                others = [path.name for path in above.iterdir() if _VERSION.fullmatch(path.name) and path.name != part]
            except OSError:  # not ours to look into
                continue
            for other in sorted(others, key=lambda name: [int(number) for number in name.split(".")], reverse=True):
                yield Path(above, other, *base.parts[place + 1 :])


def _finished(base: Path) -> list[Environment]:
    """The finished environments of one user folder, the newest first."""
    stamps = sorted((base / FOLDER).glob(f"*/{STAMP}"), key=lambda path: path.stat().st_mtime, reverse=True)
    found = []
    for path in stamps:
        try:
            words = read_json(path, limit=1 << 16)
            fields = {name: str(words[name]) for name in ("version", "requirements", "build", "python")}
        except (InvalidFile, KeyError):  # not ours, or cut off: as good as none
            continue
        if interpreter_of(path.parent).exists():
            found.append(Environment(path.parent, **fields))
    return found
