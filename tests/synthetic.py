# SPDX-License-Identifier: GPL-3.0-or-later
"""A small room, ray-traced in numpy: exact colour, depth and instances, for tests that need a real capture.

The room is the inside of a box 4 x 4 x 2.5 (z up) with a table and a cabinet in it. Surfaces carry a smooth pattern, so that a
shifted or mirrored picture is noticed. `views()` gives View objects, `write_capture()` the same as a nerfstudio folder.
Tests import it as `splatonym.tests.synthetic`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from splatonym.core.cameras import Camera, intrinsics, pose_to_opengl
from splatonym.core.labels import LabelMap
from splatonym.core.views import Instance, View

ROOM = np.array([[0.0, 0.0, 0.0], [4.0, 4.0, 2.5]])
BOXES = {
    7: np.array([[1.5, 1.6, 0.0], [2.5, 2.4, 0.7]]),
    8: np.array([[3.2, 0.4, 0.0], [3.9, 1.4, 1.4]]),
}
CLASSES = ("wall", "floor", "ceiling", "table", "cabinet")
INSTANCES = {
    **{k: Instance(k, f"Wall {k}", "wall") for k in (1, 2, 3, 4)},
    5: Instance(5, "Floor", "floor"),
    6: Instance(6, "Ceiling", "ceiling"),
    7: Instance(7, "Low table", "table"),
    8: Instance(8, "Cabinet", "cabinet"),
}
LABELS = LabelMap(CLASSES)
_COLOURS = np.array(
    [[0, 0, 0], [190, 90, 80], [90, 170, 90], [90, 100, 190], [190, 180, 90], [150, 120, 90], [220, 220, 225], [120, 60, 30],
     [60, 150, 160]], dtype=np.float64,
)  # fmt: skip


def camera(number: int, size: tuple[int, int] = (48, 48), count: int = 6) -> Camera:
    """Camera `number` of `count` on an arc by the walls, looking at the room's middle from head height."""
    angle = 0.35 + 1.9 * number / max(count - 1, 1)
    eye = np.array([2 - 1.7 * np.cos(angle), 2 - 1.7 * np.sin(angle), 1.5])
    forward = np.array([2.1, 2.0, 0.75]) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    width, height = size
    return Camera(width, height, intrinsics(0.6 * width, 0.6 * width, width / 2, height / 2), pose)


def trace(eye: Camera, name: str = "") -> View:
    """What a camera sees, one ray a pixel through its centre; planar depth."""
    rays = (eye.unproject(np.ones((eye.height, eye.width))) - eye.position).reshape(-1, 3)
    with np.errstate(divide="ignore"):
        inverse = 1.0 / rays
    far = np.maximum(*((wall - eye.position) * inverse for wall in ROOM))
    axis = far.argmin(1)
    distance = far.min(1)
    upper = rays[np.arange(len(rays)), axis] > 0
    number = np.array([[1, 2], [3, 4], [5, 6]])[axis, upper.astype(int)]
    for box_number, box in BOXES.items():
        first, second = ((side - eye.position) * inverse for side in box)
        enter, leave = np.minimum(first, second).max(1), np.maximum(first, second).min(1)
        hit = (enter < leave) & (enter > 0) & (enter < distance)
        distance, number = np.where(hit, enter, distance), np.where(hit, box_number, number)
    points = eye.position + rays * distance[:, None]
    pattern = 0.85 + 0.15 * np.prod(np.sin(points * 2.5 + [0.3, 0.9, 0.2]), axis=1)
    rgb = np.clip(_COLOURS[number] * pattern[:, None], 0, 255).astype(np.uint8)
    shape = (eye.height, eye.width)
    return View(
        name, eye, rgb.reshape(*shape, 3), distance.reshape(shape).astype(np.float32), number.reshape(shape).astype(np.int32)
    )


def views(count: int = 6, size: tuple[int, int] = (48, 48)) -> list[View]:
    """`count` overlapping views, named frame_0, frame_1, ..."""
    return [trace(camera(k, size, count), f"frame_{k}") for k in range(count)]


def write_capture(folder: Path, seen: Sequence[View] | None = None, **top: Any) -> Path:
    """Write views as rgb_k.png, depth_k.png, instance_k.png and the two JSON files; returns the path of transforms.json."""
    from PIL import Image  # the add-on's environment has no Pillow, and its tests may want the views alone

    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for k, view in enumerate(views() if seen is None else seen):
        assert view.depth is not None and view.index is not None
        Image.fromarray(view.rgb).save(folder / f"rgb_{k}.png")
        Image.fromarray(np.rint(view.depth * 1000).astype(np.uint16)).save(folder / f"depth_{k}.png")
        Image.fromarray(view.index.astype(np.uint16)).save(folder / f"instance_{k}.png")
        eye = view.camera
        frames.append(
            {
                "file_path": f"rgb_{k}.png",
                "depth_file_path": f"depth_{k}.png",
                "instance_path": f"instance_{k}.png",
                "w": eye.width,
                "h": eye.height,
                "fl_x": eye.fx,
                "fl_y": eye.fy,
                "cx": eye.cx,
                "cy": eye.cy,
                "transform_matrix": pose_to_opengl(eye.T_world_camera).tolist(),
            }
        )
    labels = {
        "classes": list(CLASSES),
        "instances": {str(i.id): {"class": i.class_name, "name": i.name} for i in INSTANCES.values()},
    }
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    (folder / "transforms.json").write_text(json.dumps({**top, "frames": frames}), encoding="utf-8")
    return folder / "transforms.json"
