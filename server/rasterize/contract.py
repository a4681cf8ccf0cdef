# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rasterizer does, whichever backend does it.

`prepare(gaussians, camera)` projects and sorts once; the `Frame` that it returns then answers any number of questions about that
picture. All of them come from the same numbers: w[p, i] = T * alpha, how much Gaussian i shows in pixel p. Rendering is the
product w @ features, registration its transpose, w.T @ image.

Convention: numpy arrays in and out, because the product's scenes, views and wire are numpy and so is numba; a backend that works on a
GPU moves them. Training will call a differentiable function on torch tensors instead. Depth is planar, colours sRGB.

Definition, as in gsplat 1.5 and 3DGS: perspective splats are EWA's local affine approximation, orthographic ones exact; `eps2d`
px^2 is added to the splat's covariance; alpha = min(0.999, opacity * exp(-power)); below 1/255 it is skipped; a pixel stops before the
Gaussian that would take its transmittance T to 1e-4 or less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...core.cameras import Camera
from ...core.errors import NotAvailable
from ...core.gaussians import GaussianArrays
from ..job import Job

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

ALPHA_LEAST = 1 / 255
ALPHA_MOST = 0.999
TRANSMITTANCE_LEAST = 1e-4


@dataclass(frozen=True)
class RasterSettings:
    """near, far: planar depth between which Gaussians are drawn, scene units.
    eps2d: variance added to every splat, px^2.
    antialiased: make up for eps2d by lower opacity, as Mip-Splatting does.
    """

    near: float = 0.01
    far: float = 1e10
    eps2d: float = 0.3
    antialiased: bool = False


@dataclass(frozen=True)
class RenderOutput:
    """features: [H, W, C] float32, sum of w * feature, plus the background's share.
    depth: [H, W] float32, sum of w * depth / sum of w; 0 where alpha is 0.
    alpha: [H, W] float32, sum of w.
    """

    features: Floats
    depth: Floats
    alpha: Floats


@dataclass(frozen=True)
class IdWeights:
    """Entry k: Gaussian `gaussian[k]` shows with `weight[k]`, summed over the pixels that hold `id[k]`. Sorted by Gaussian, then id.

    gaussian: [M] int32. id: [M] int32. weight: [M] float32.
    """

    gaussian: Ints
    id: Ints
    weight: Floats


class Frame(Protocol):
    """Gaussians prepared for one camera."""

    def render(self, features: Floats | None = None, background: Floats | None = None) -> RenderOutput:
        """Blend features [N, C], or the Gaussians' own colours; background [C] shows through where they do not cover."""

    def register(self, image: Floats) -> tuple[Floats, Floats]:
        """Image [H, W, C] -> its sums over each Gaussian's pixels [N, C] and the Gaussians' weights [N]."""

    def register_ids(self, ids: Ints) -> IdWeights:
        """Ids [H, W] >= 0 -> each Gaussian's weight for each id; 0 stands for nothing and is left out."""

    def dominant_id(self, ids: Ints) -> tuple[Ints, Floats]:
        """Ids of the Gaussians [N] >= 0 -> in each pixel the id with the greatest summed weight, and that weight, [H, W] each.

        Any number of ids, without blending a channel for each. The smaller id wins a tie; 0 with weight 0 where there is no Gaussian.
        """


class Backend(Protocol):
    """A rasterizer and what the report says about it."""

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def version(self) -> str: ...

    def prepare(self, gaussians: GaussianArrays, camera: Camera, settings: RasterSettings, job: Job) -> Frame:
        """Project and sort; the frame goes on asking `job` whether to stop."""


BACKENDS = ("reference",)


def choose(name: str | None = None) -> Backend:
    """The backend of that name, or the best there is."""
    if name is None or name == "reference":
        from .reference import Reference

        return Reference()
    raise NotAvailable(f"There is no rasterizer '{name}'.", f"Rasterizers: {', '.join(BACKENDS)}.")


def describe(backend: Backend) -> dict[str, str]:
    """What a report says about the backend that was used."""
    return {"backend": backend.name, "device": backend.device, "version": backend.version}
