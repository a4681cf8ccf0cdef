# SPDX-License-Identifier: GPL-3.0-or-later
"""Small untrained networks, their files, and the views that they look at."""

from dataclasses import replace

import numpy as np
import torch
from splatonym.core.cameras import Camera, intrinsics
from splatonym.server import models
from splatonym.server.models import weights
from splatonym.server.models.config import NetworkConfig
from splatonym.server.models.geometry import Rig

SMALL = NetworkConfig(
    preset="rooms", class_count=24, pixels=64 * 64, planes=16, groups=2, matching_channels=8, sources=2, channels=(16, 24, 32),
    heads=2, attention_blocks=1, point_features=8,
)  # fmt: skip


def write_model(folder, seed=0, name="small", **changes):
    """An untrained network as a file; returns its path as the option `model` takes it."""
    config = replace(SMALL, **changes)
    path = folder / f"{name}.safetensors"
    weights.write(path, config, models.create(config, seed).state_dict())
    return str(path)


def looking(eye, at, up=(0.0, 0.0, 1.0)):
    """[4, 4] the pose of a camera at a place that looks at another."""
    forward = np.subtract(at, eye) / np.linalg.norm(np.subtract(at, eye))
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = eye
    return pose


def arc(count, width=24, height=16, turn=0.5):
    """Cameras on an arc around the origin, about 3 away, all looking at it."""
    cameras = []
    for angle in np.linspace(-turn, turn, count) if count > 1 else [0.2]:
        pose = looking((3 * np.sin(angle), -3 * np.cos(angle), 0.7 + 0.3 * angle), (0.0, 0.0, 0.0))
        cameras.append(Camera(width, height, intrinsics(0.9 * width, 0.95 * width, 0.52 * width, 0.47 * height), pose))
    return cameras


def rig_of(cameras, dtype=torch.float32):
    K = torch.from_numpy(np.stack([camera.K for camera in cameras])).to(dtype)
    T = torch.from_numpy(np.stack([camera.T_world_camera for camera in cameras])).to(dtype)
    return Rig(K, T, cameras[0].height, cameras[0].width)


def scaled(rig, factor):
    """The rig in other units."""
    T = rig.T_world_camera.clone()
    T[:, :3, 3] *= factor
    return Rig(rig.K, T, rig.height, rig.width)
