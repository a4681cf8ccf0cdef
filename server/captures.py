# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures: posed pictures in the nerfstudio layout, a `transforms.json` with pictures beside it.

    {"w": 160, "h": 120, "fl_x": 150, "fl_y": 150, "cx": 80, "cy": 60,
     "frames": [{"file_path": "rgb_0.png", "depth_file_path": "depth_0.png", "instance_path": "instance_0.png",
                 "transform_matrix": [[...], [...], [...], [...]]}]}

Conventions: a frame's own w, h, fl_x, fl_y, cx, cy come before the file's; cx and cy default to the middle, fl_y to fl_x, and
`camera_angle_x` (radians) may stand for fl_x. `transform_matrix` is camera-to-world with OpenGL axes; its scale is left out.
Depth PNGs are steps of `depth_unit_scale_factor` (0.001: millimetres), EXRs scene units. Cameras with distortion or of another
model than the pinhole are refused. `labels.json` beside the file names classes and instances. Paths are relative to the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.cameras import Camera, intrinsics, pose_from_opengl
from ..core.errors import InvalidFile, InvalidInput
from ..core.files import read_json
from ..core.labels import LabelMap
from ..core.scene import LABELS_NAME, read_labels
from ..core.views import Instance, View
from . import pictures
from .job import Job

CAPTURE_NAME = "transforms.json"
_DISTORTION = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_PINHOLES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE")
_LENS_HINT = "Undistort the pictures first, for example with COLMAP's image_undistorter."


@dataclass(frozen=True)
class Frame:
    """One frame of a capture; its pictures are files not read yet.

    name: the frame's `file_path`, as written.
    """

    name: str
    camera: Camera
    rgb: Path
    depth: Path | None = None
    index: Path | None = None

    @property
    def stem(self) -> str:
        """What the frame's output files begin with: "sub/x.jpg" -> "x"."""
        return Path(self.name).stem


@dataclass(frozen=True)
class Capture:
    """What a `transforms.json` and the `labels.json` beside it say; labels is None where there is no such file."""

    path: Path
    frames: tuple[Frame, ...]
    labels: LabelMap | None = None
    instances: Mapping[int, Instance] = field(default_factory=dict)
    depth_unit: float = pictures.MILLIMETRES

    def pick(self, wanted: Sequence[str]) -> Capture:
        """This capture with the wanted frames only, in that order.

        A frame is called by its place from 0, its `file_path`, or that path's last part with or without the ending.
        """
        chosen = dict.fromkeys(self._place(word) for word in wanted)
        return replace(self, frames=tuple(self.frames[place] for place in chosen))

    def stems(self) -> list[str]:
        """What the frames' output files begin with; two frames of one stem would overwrite each other's."""
        first: dict[str, str] = {}
        for frame in self.frames:
            if frame.stem in first:
                raise InvalidInput(
                    f"The pictures of '{first[frame.stem]}' and '{frame.name}' would both be called '{frame.stem}'.",
                    "Rename one, or render them into two folders with --views.",
                )
            first[frame.stem] = frame.name
        return list(first)

    def _place(self, word: str) -> int:
        if word.isdecimal() and int(word) < len(self.frames):
            return int(word)
        for same in (
            [k for k, frame in enumerate(self.frames) if frame.name == word],
            [k for k, frame in enumerate(self.frames) if word in (Path(frame.name).name, frame.stem)],
        ):
            if len(same) == 1:
                return same[0]
            if same:
                raise InvalidInput(
                    f"'{word}' names {len(same)} frames of '{self.path.name}'.", "Give their places or their full file_path."
                )
        raise InvalidInput(
            f"'{self.path}' has no frame '{word}'.",
            f"It has {len(self.frames)} frames, 0 to {len(self.frames) - 1}; the first is '{self.frames[0].name}'.",
        )

    def view(self, frame: Frame) -> View:
        """A frame with its pictures read and checked."""
        size = (frame.camera.width, frame.camera.height)
        depth = index = None
        try:
            rgb = pictures.read_rgb(frame.rgb, size)
            if frame.depth is not None:
                depth = pictures.read_depth(frame.depth, size, self.depth_unit)
                wrong = int((~(np.isfinite(depth) & (depth >= 0))).sum())
                if wrong:
                    raise InvalidFile(
                        f"'{frame.depth}' has {wrong} depths that are negative or not numbers.",
                        "Write 0 where there is no depth.",
                    )
            if frame.index is not None:
                index = pictures.read_index(frame.index, size)
        except InvalidFile as error:
            raise InvalidFile(f"Frame '{frame.name}': {error.message}", error.hint) from error
        return View(frame.name, frame.camera, rgb, depth, index)

    def views(self, job: Job) -> list[View]:
        """All frames with their pictures."""
        out = []
        for number, frame in enumerate(self.frames):
            job.progress(number / len(self.frames), frame.name)
            out.append(self.view(frame))
        return out


def read_capture(path: Path) -> Capture:
    """Read a capture's file, or the `transforms.json` of a folder; pictures are not opened unless a size is missing."""
    if path.is_dir():
        path = path / CAPTURE_NAME
    content = read_json(path)
    entries = content.get("frames")
    if not isinstance(entries, list) or not entries:
        raise InvalidFile(
            f"'{path}' has no frames.", 'A capture has {"frames": [{"file_path": ..., "transform_matrix": ...}]}.'
        )
    unit = content.get("depth_unit_scale_factor", pictures.MILLIMETRES)
    if not _is_number(unit) or unit <= 0:
        raise InvalidFile(f"'{path}' has the depth_unit_scale_factor {unit!r}.", "It is 0.001 for millimetres.")
    frames = tuple(_frame(path, content, entry, number) for number, entry in enumerate(entries))
    labels_path = path.parent / LABELS_NAME
    labels, instances = read_labels(labels_path)[1:] if labels_path.exists() else (None, {})
    return Capture(path, frames, labels, instances, float(unit))


def _frame(path: Path, content: Mapping[str, Any], entry: object, number: int) -> Frame:
    if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str) or not entry["file_path"]:
        raise InvalidFile(f"Frame {number} of '{path}' has no file_path.", "Each frame names its picture.")
    name: str = entry["file_path"]
    where = f"Frame {number} ('{name}') of '{path}'"
    rgb = path.parent / name
    if not rgb.suffix and not rgb.exists():  # NeRF's synthetic scenes leave the ending out
        rgb = rgb.with_suffix(".png")
    others: dict[str, Path | None] = {}
    for key in ("depth_file_path", "instance_path"):
        value = entry.get(key)
        if value is not None and not isinstance(value, str):
            raise InvalidFile(f"{where} has a {key} that is no path: {value!r}.")
        others[key] = path.parent / value if value else None
    try:
        camera = _camera({**content, **entry}, rgb)
    except InvalidFile as error:
        raise InvalidFile(f"{where}: {error.message}", error.hint) from error
    except InvalidInput as error:
        raise InvalidFile(f"{where} cannot be used. {error.message}", error.hint) from error
    return Frame(name, camera, rgb, others["depth_file_path"], others["instance_path"])


def _camera(values: Mapping[str, Any], picture: Path) -> Camera:
    model = values.get("camera_model", "PINHOLE")
    if model not in _PINHOLES:
        raise InvalidInput(f"The camera model '{model}' is not supported.", f"Pinhole cameras are. {_LENS_HINT}")
    bent = [key for key in _DISTORTION if key in values and _number(values, key) != 0]
    if bent:
        raise InvalidInput(f"Its lens has distortion ({bent[0]} = {values[bent[0]]:g}).", _LENS_HINT)
    if "w" in values and "h" in values:
        width, height = _side(values, "w"), _side(values, "h")
    else:
        width, height = pictures.picture_size(picture)
    if "fl_x" in values:
        fl_x = _number(values, "fl_x")
    elif "camera_angle_x" in values:
        angle = _number(values, "camera_angle_x")
        if not 0 < angle < math.pi:
            raise InvalidInput(f"camera_angle_x is {angle:g}.", "It is in radians, between 0 and pi.")
        fl_x = 0.5 * width / math.tan(0.5 * angle)
    else:
        raise InvalidInput("The key 'fl_x' is missing.", "Give the focal length in pixels, or camera_angle_x in radians.")
    fl_y = _number(values, "fl_y") if "fl_y" in values else fl_x
    cx = _number(values, "cx") if "cx" in values else width / 2
    cy = _number(values, "cy") if "cy" in values else height / 2
    return Camera(width, height, intrinsics(fl_x, fl_y, cx, cy), pose_from_opengl(_matrix(values)))


def _matrix(values: Mapping[str, Any]) -> list[list[float]]:
    rows = values.get("transform_matrix")
    if rows is None:
        raise InvalidInput("The key 'transform_matrix' is missing.", "It is the camera-to-world matrix, 4x4.")
    if (
        not isinstance(rows, list)
        or len(rows) != 4
        or any(not isinstance(row, list) or len(row) != 4 or not all(map(_is_number, row)) for row in rows)
    ):
        raise InvalidInput("Its transform_matrix is not 4x4 finite numbers.", "It is the camera-to-world matrix, 4x4.")
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30


def _number(values: Mapping[str, Any], key: str) -> float:
    value = values[key]
    if not _is_number(value):
        raise InvalidInput(f"{key} is {value!r}, which is not a number.")
    return float(value)


def _side(values: Mapping[str, Any], key: str) -> int:
    value = _number(values, key)
    if value != int(value):
        raise InvalidInput(f"{key} is {value:g}, which is not a whole number of pixels.")
    return int(value)
