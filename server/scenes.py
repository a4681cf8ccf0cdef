# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenes that the server knows, by id: in memory while there is room, and in a folder, so that a restarted server goes on.

An id is the scene's name as a slug and six random hex digits, "living-room-3fa94c". On disk it is the name of a folder as
`write_scene` makes it. Without a folder the scenes are in memory alone. Beyond the bounds those used longest ago leave the memory, and
those written longest ago the folder.
"""

from __future__ import annotations

import re
import secrets
import shutil
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass, fields
from pathlib import Path

from ..core.errors import InvalidFile, InvalidInput, NotAvailable
from ..core.scene import LABELS_NAME, SemanticScene, read_labels, read_scene, write_scene

MEMORY_BYTES = 4 << 30
ON_DISK = 20
"""Scenes kept in the folder; of more, those written longest ago go."""
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?-[0-9a-f]{6}")


@dataclass(frozen=True)
class SceneEntry:
    """A known scene: id, name, and whether it is in memory and on disk."""

    id: str
    name: str
    in_memory: bool
    on_disk: bool


class SceneStore:
    """Scenes by id; for one thread."""

    def __init__(self, folder: Path | None = None, memory_bytes: int = MEMORY_BYTES) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._memory: OrderedDict[str, SemanticScene] = OrderedDict()

    def add(self, scene: SemanticScene, number: str = "", *, keep: bool = True) -> str:
        """Take a scene in under an id, in the place of the one that has it; "" makes a new one. Gives the id.

        A disk that refuses raises InvalidFile; the scene is in memory then. `keep=False` leaves the disk alone.
        """
        number = checked_id(number) if number else new_id(scene.name)
        self._remember(number, scene)
        if keep and self._folder is not None:
            write_scene(self._folder / number, scene)
            self._drop_oldest(self._folder)
        return number

    def replace(self, number: str, scene: SemanticScene) -> None:
        """Put a changed scene in the place of the one that has the id; on disk, too, where that one is."""
        self.add(scene, number, keep=self._on_disk(number))

    def get(self, number: str) -> SemanticScene:
        """The scene; an unknown id raises NotAvailable with those there are."""
        if number in self._memory:
            self._memory.move_to_end(number)
            return self._memory[number]
        if not self._on_disk(number):
            there = ", ".join(entry.id for entry in self.entries()[:20]) or "none yet"
            raise NotAvailable(f"The server has no scene '{number[:80]}'.", f"Scenes: {there}.")
        assert self._folder is not None
        scene = read_scene(self._folder / number)
        self._remember(number, scene)
        return scene

    def forget(self, number: str) -> None:
        """Drop a scene from memory and from disk; an unknown id raises NotAvailable."""
        if number not in self._memory and not self._on_disk(number):
            self.get(number)
        self._memory.pop(number, None)
        if self._on_disk(number):
            assert self._folder is not None
            try:
                shutil.rmtree(self._folder / number)
            except OSError as error:
                raise InvalidFile(f"'{self._folder / number}' cannot be removed: {error.strerror}.") from error

    def entries(self) -> list[SceneEntry]:
        """All scenes, by id. A folder whose files cannot be read is left out."""
        found = {number: SceneEntry(number, scene.name, True, self._on_disk(number)) for number, scene in self._memory.items()}
        for folder in sorted(self._folder.iterdir()) if self._folder is not None and self._folder.is_dir() else []:
            if folder.name not in found and self._on_disk(folder.name):
                try:
                    found[folder.name] = SceneEntry(folder.name, read_labels(folder / LABELS_NAME)[0], False, True)
                except InvalidFile:  # not a scene of ours, or a damaged one: `get` says what is wrong with it
                    continue
        return [found[number] for number in sorted(found)]

    def _drop_oldest(self, folder: Path) -> None:
        """Leave ON_DISK scenes in the folder. One that cannot be removed stays: the new scene is there all the same."""
        there = [place for place in folder.iterdir() if self._on_disk(place.name)]
        there.sort(key=lambda place: (place / LABELS_NAME).stat().st_mtime_ns)
        for place in there[:-ON_DISK]:
            shutil.rmtree(place, ignore_errors=True)

    def _on_disk(self, number: str) -> bool:
        return (
            self._folder is not None
            and _ID.fullmatch(number) is not None  # so an id is never a path to somewhere else
            and (self._folder / number / LABELS_NAME).is_file()
        )

    def _remember(self, number: str, scene: SemanticScene) -> None:
        """Keep the scene in memory as the newest, and drop the oldest while there is no room."""
        self._memory[number] = scene
        self._memory.move_to_end(number)
        while len(self._memory) > 1 and sum(map(scene_bytes, self._memory.values())) > self._memory_bytes:
            self._memory.popitem(last=False)


def new_id(name: str) -> str:
    """ "Living Room" -> "living-room-3fa94c"."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii").lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "scene"
    return f"{slug}-{secrets.token_hex(3)}"


def checked_id(number: str) -> str:
    """The id, if it has the form of one."""
    if not _ID.fullmatch(number):
        raise InvalidInput(f"'{number[:80]}' is not the id of a scene.", "An id looks like 'living-room-3fa94c'.")
    return number


def scene_bytes(scene: SemanticScene) -> int:
    """Memory that the scene's arrays take."""
    arrays = [getattr(scene.gaussians, f.name) for f in fields(scene.gaussians)]
    if scene.codebook is not None:
        arrays += [scene.codebook.specific, scene.codebook.context]
    return sum(array.nbytes for array in arrays if array is not None)
