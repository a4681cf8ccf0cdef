# SPDX-License-Identifier: GPL-3.0-or-later
"""A result's folder: `scene.ply`, `labels.json` and `report.json`.

The folder is tried before the work begins and filled once it is done: files are written into a hidden folder inside it and then
renamed, so that an error or an interrupt leaves what was there before. The report says which frames of which capture went in,
so that an evaluation can tell inputs from held-out views.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..core.errors import InvalidFile
from ..core.files import read_json, write_json
from ..core.scene import SemanticScene, write_scene
from .captures import Capture, read_capture
from .job import Job

REPORT_NAME = "report.json"


def write_result(folder: Path, scene: SemanticScene, report: Mapping[str, object], job: Job, *, strict: bool = False) -> None:
    """Write the three files; the report's own timings give way to the whole job's."""
    with job.stage("write"):
        write_scene(folder, scene, strict=strict)
    counts = {"gaussians": len(scene.gaussians), "counts": scene.counts()}
    write_json(folder / REPORT_NAME, {**report, **counts, "timings": job.timings})


def versions() -> dict[str, str]:
    """Versions of what the result was made with."""
    found = {"python": platform.python_version()}
    for name in ("splatonym", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # used from a checkout that nobody installed
            found[name] = "not installed"
    return found


@dataclass(frozen=True)
class Inputs:
    """What a result was made from."""

    capture: Path
    frames: tuple[str, ...]

    @classmethod
    def of(cls, capture: Capture) -> Inputs:
        return cls(capture.path.resolve(), tuple(frame.name for frame in capture.frames))

    def as_json(self) -> dict[str, object]:
        return {"capture": str(self.capture), "frames": list(self.frames)}

    def read(self, moved_to: Path | None = None) -> Capture:
        """The capture's input frames, from where the capture is now."""
        path = moved_to or self.capture
        if not path.exists():
            raise InvalidFile(
                f"The capture that this result was made from is no longer at '{path}'.",
                "Say with --inputs CAMERAS.json where it is now.",
            )
        return read_capture(path).pick(self.frames)


def read_inputs(folder: Path) -> Inputs:
    """The input frames that a result's report names."""
    path = folder / REPORT_NAME
    entry = read_json(path).get("input")
    match entry:
        case {"capture": str(capture), "frames": [*names]} if all(isinstance(name, str) for name in names):
            return Inputs(Path(capture), tuple(names))
    raise InvalidFile(f"'{path}' does not say which frames the result was made from.", "Make it with 'splatonym predict'.")
