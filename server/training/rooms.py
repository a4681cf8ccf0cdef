# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered rooms as training data: read once into memory, drawn at random.

A room's folder holds rgb_00.jpg, depth_00.png (16 bit, mm), instance_00.png (16 bit), transforms.json (nerfstudio's layout) and labels.json, as
scripts/dataset writes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..models.geometry import Rig

_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Room:
    """V views of one room, compact: rgb [V, H, W, 3] uint8, depth [V, H, W] uint16 mm, classes [V, H, W] uint8, K [3, 3], T [V, 4, 4]."""

    name: str
    rgb: np.ndarray
    depth: np.ndarray
    classes: np.ndarray
    K: np.ndarray
    T_world_camera: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Views as the losses want them: rgb [V, 3, H, W] 0..1, depth [V, H, W] scene units (0 none), classes [V, H, W] int64 (-1 none)."""

    rgb: Tensor
    depth: Tensor
    classes: Tensor
    rig: Rig

    def __len__(self) -> int:
        return len(self.rgb)

    def pick(self, which: Tensor) -> Scene:
        return Scene(self.rgb[which], self.depth[which], self.classes[which], self.rig.pick(which))

    def to(self, device: torch.device) -> Scene:
        return Scene(self.rgb.to(device), self.depth.to(device), self.classes.to(device), self.rig.to(device))


def read_room(folder: Path) -> Room:
    """One room from its folder."""
    transforms = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    table = np.zeros(max(map(int, labels["instances"])) + 1, np.uint8)
    for number, item in labels["instances"].items():
        table[int(number)] = labels["classes"].index(item["class"])
    frames = transforms["frames"]
    K = np.array(
        [[transforms["fl_x"], 0, transforms["cx"]], [0, transforms["fl_y"], transforms["cy"]], [0, 0, 1]], dtype=np.float32
    )
    return Room(
        name=folder.name,
        rgb=np.stack([np.asarray(Image.open(folder / f["file_path"])) for f in frames]),
        depth=np.stack([np.asarray(Image.open(folder / f["depth_file_path"])).astype(np.uint16) for f in frames]),
        classes=np.stack([table[np.asarray(Image.open(folder / f["instance_path"]))] for f in frames]),
        K=K,
        T_world_camera=np.stack([np.array(f["transform_matrix"]) @ _OPENGL for f in frames]).astype(np.float32),
    )


class Rooms:
    """Rooms of some folders; `refresh` takes in those that have appeared since."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self.rooms: dict[Path, Room] = {}
        self.refresh()

    def __len__(self) -> int:
        return len(self.rooms)

    def refresh(self) -> None:
        for folder in self.folders:
            for path in sorted(folder.glob("room_*")):
                if path not in self.rooms and (path / "labels.json").exists():
                    self.rooms[path] = read_room(path)

    def draw(self, number: int) -> Room:
        """The room at a place in a list that wraps around."""
        rooms = list(self.rooms.values())
        return rooms[number % len(rooms)]


def scene_of(room: Room) -> Scene:
    """All views of a room, unchanged."""
    V, H, W = room.depth.shape
    rig = Rig(torch.from_numpy(room.K).expand(V, 3, 3).clone(), torch.from_numpy(room.T_world_camera), H, W)
    rgb = torch.from_numpy(room.rgb).permute(0, 3, 1, 2).float() / 255
    depth = torch.from_numpy(room.depth.astype(np.float32) / 1000)
    return Scene(rgb, depth, torch.from_numpy(room.classes.astype(np.int64)), rig)
