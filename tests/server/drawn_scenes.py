# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians, cameras and backends for the tests of the rasterizers."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import strategies as st
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import NotAvailable
from splatonym.core.gaussians import GaussianArrays, sh_from_rgb
from splatonym.server.job import Job
from splatonym.server.rasterize.choice import choose
from splatonym.server.rasterize.contract import RasterSettings

BACKENDS = ("reference", "cpu", "gsplat")
SIZES = ((1, 1), (17, 1), (33, 19), (64, 48))


def backend_or_skip(name):
    try:
        backend = choose(name)
    except NotAvailable as error:
        pytest.skip(f"{name}: {error.sentence()}")
    backend.ready(Job())
    return backend


def camera(width=24, height=18, projection="perspective", T_world_camera=None, off_centre=(0.3, -0.7)):
    """About 60 degrees wide, or 4 units; turned and moved by T_world_camera."""
    focal = 0.85 * max(width, height) if projection == "perspective" else 0.25 * max(width, height)
    K = intrinsics(focal, focal * 1.1, width / 2 + off_centre[0], height / 2 + off_centre[1])
    return Camera(width, height, K, np.eye(4) if T_world_camera is None else T_world_camera, projection)


def turned(seed, far=5.0):
    """[4, 4], a camera's pose somewhere, turned anyhow."""
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose[:3, :3] = axes * np.sign(np.linalg.det(axes))
    pose[:3, 3] = rng.uniform(-far, far, 3)
    return pose


def cloud(seed, count, kind="round", sh_degree=0, pose=None):
    """Gaussians before a camera of that pose: round, needles (ratios to 1000, some longer than the picture), discs, tiny, sheets (many of
    one depth), all around the camera, or some of each.
    """
    rng = np.random.default_rng(seed)
    if kind == "mixed":
        parts = [
            cloud(seed + k, -(-count // 4), part, sh_degree, pose)
            for k, part in enumerate(("round", "needles", "discs", "tiny"))
        ]
        names = ("means", "quats", "scales", "opacities", "sh")
        return GaussianArrays(*(np.concatenate([getattr(part, name) for part in parts])[:count] for name in names))
    z = rng.uniform(0.5, 6, count)
    means = np.column_stack([rng.uniform(-0.7, 0.7, count) * z, rng.uniform(-0.6, 0.6, count) * z, z])
    scales = np.exp(rng.uniform(-4, -0.5, (count, 3)))
    if kind == "needles":
        scales[:] = np.exp(rng.uniform(-6, -4, (count, 1)))
        scales[np.arange(count), rng.integers(0, 3, count)] *= np.exp(rng.uniform(0, np.log(1000), count))
    elif kind == "discs":
        scales[np.arange(count), rng.integers(0, 3, count)] *= 0.02
    elif kind == "tiny":
        scales *= 1e-3
    elif kind == "sheets":
        means[:, 2] = np.round(means[:, 2])
    elif kind == "around":
        means = rng.uniform(-2, 2, (count, 3))
    if pose is not None:
        means = means @ pose[:3, :3].T + pose[:3, 3]
    quats = rng.normal(size=(count, 4))
    opacities = rng.uniform(0, 1, count)
    opacities[rng.random(count) < 0.1] = 1
    opacities[rng.random(count) < 0.05] = 0
    sh = rng.normal(0, 0.15, (count, (sh_degree + 1) ** 2, 3))
    sh[:, :1] = sh_from_rgb(rng.uniform(0, 1, (count, 3)))
    return GaussianArrays(
        means.astype(np.float32),
        (quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales.astype(np.float32),
        opacities.astype(np.float32),
        sh.astype(np.float32),
    )


@dataclass(repr=False)
class Drawn:
    gaussians: GaussianArrays
    camera: Camera
    settings: RasterSettings
    seed: int
    asked: str

    def __repr__(self):
        return f"<{self.asked}, {self.settings}>"


@st.composite
def scenes(draw, most=300):
    """A cloud before a camera, with settings."""
    seed = draw(st.integers(0, 100_000))
    kind = draw(st.sampled_from(["round", "needles", "discs", "tiny", "sheets", "around", "mixed"]))
    count = draw(st.integers(1, most))
    sh_degree = draw(st.integers(0, 3))
    # float32 and float64 turn equal depths into different orders, so sheets stay square to the camera.
    pose = turned(seed) if kind != "sheets" and draw(st.booleans()) else None
    off_centre = draw(st.sampled_from([(0.3, -0.7), (-20.0, 9.0)]))
    size, projection = draw(st.sampled_from(SIZES)), draw(st.sampled_from(["perspective", "orthographic"]))
    settings = RasterSettings(
        near=draw(st.sampled_from([0.01, 1.5])),
        far=draw(st.sampled_from([1e10, 4.5])),
        eps2d=draw(st.sampled_from([0.3, 0.1, 1.0])),
        antialiased=draw(st.booleans()),
    )
    asked = f"cloud({seed}, {count}, {kind!r}, {sh_degree}, pose), camera(*{size}, {projection!r}, pose, {off_centre})"
    asked += f", pose = {'None' if pose is None else f'turned({seed})'}"
    return Drawn(cloud(seed, count, kind, sh_degree, pose), camera(*size, projection, pose, off_centre), settings, seed, asked)


def over_the_picture(g, depth=1.0):
    """The same, with a Gaussian that covers everything as its first."""
    values = {name: getattr(g, name).copy() for name in ("means", "quats", "scales", "opacities")}
    values["means"][0], values["quats"][0], values["scales"][0], values["opacities"][0] = (0, 0, depth), (1, 0, 0, 0), 50, 0.6
    return replace(g, **values)
