# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rasterizer does, whichever backend does it.

`prepare(gaussians, camera)` projects and sorts once; the `Frame` that it returns then answers any number of questions about that
picture. All of them come from the same numbers: w[p, i] = T * alpha, how much Gaussian i shows in pixel p. Rendering is the
product w @ features, registration its transpose, w.T @ image.

Convention: numpy arrays in and out, because the product's scenes, views and wire are numpy and so is numba; a backend that works on a
GPU moves them. Training calls `Backend.rasterize`, the same picture as a differentiable function of torch tensors. Depth is planar,
colours sRGB.

Definition, as in gsplat 1.5 and 3DGS: perspective splats are EWA's local affine approximation, orthographic ones exact; `eps2d`
px^2 is added to the splat's covariance; alpha = min(0.999, opacity * exp(-power)); below 1/255 it is skipped; a pixel stops before the
Gaussian that would take its transmittance T to 1e-4 or less. Gaussians are taken in the order of their float32 depth, equal ones in
their own order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from ...core.cameras import Camera
from ...core.errors import InvalidInput
from ...core.gaussians import GaussianArrays
from ..job import Job

if TYPE_CHECKING:
    from torch import Tensor

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

ALPHA_LEAST = 1 / 255
ALPHA_MOST = 0.999
TRANSMITTANCE_LEAST = 1e-4
CHANNELS_MOST = 32
"""Feature channels that are ever blended at once; more are done in turns."""


@dataclass(frozen=True)
class RasterSettings:
    """near, far: planar depth between which Gaussians are drawn, scene units; behind a perspective camera none are.
    eps2d: variance added to every splat, px^2.
    antialiased: make up for eps2d by lower opacity, as Mip-Splatting does.
    """

    near: float = 0.01
    far: float = 1e10
    eps2d: float = 0.3
    antialiased: bool = False

    def __post_init__(self) -> None:
        if not self.near <= self.far:
            raise InvalidInput(f"Nothing can be drawn from {self.near:g} to {self.far:g}.", "near must not be more than far.")
        if not 0 <= self.eps2d < math.inf:
            raise InvalidInput(f"eps2d cannot be {self.eps2d:g}.", "It is a variance in px^2, 0 or more; 0.3 is usual.")


@dataclass(frozen=True)
class RenderOutput:
    """features: [H, W, C] float32, sum of w * feature, plus the background's share.
    depth: [H, W] float32, sum of w * depth / sum of w; 0 where alpha is 0.
    alpha: [H, W] float32, sum of w.
    normals: [H, W, 3] float32 in the world's axes, if asked for: sum of w * normal, unit length; 0 where alpha is 0. A Gaussian's normal is
        its shortest axis (the first of equal ones), turned toward the camera.
    """

    features: Floats
    depth: Floats
    alpha: Floats
    normals: Floats | None = None


@dataclass(frozen=True)
class TopK:
    """The K Gaussians that show most in each pixel, the heaviest first; of equal ones the nearer.

    ids: [H, W, K] int32; -1 where there are fewer. weights: [H, W, K] float32; 0 there.
    """

    ids: Ints
    weights: Floats


@dataclass(frozen=True)
class Rendered:
    """What `rasterize` gives, as torch tensors for V cameras of one size; see RenderOutput.

    features: [V, H, W, C]. depth: [V, H, W]. alpha: [V, H, W].
    """

    features: Tensor
    depth: Tensor
    alpha: Tensor


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

    def render(
        self, features: Floats | None = None, background: Floats | None = None, *, normals: bool = False
    ) -> RenderOutput:
        """Blend features [N, C], or the Gaussians' own colours; background [C] shows through where they do not cover."""

    def topk(self, k: int) -> TopK:
        """The k (1 to 64) Gaussians that show most in each pixel."""

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

    def ready(self, job: Job) -> None:
        """Compile or load what the first use needs, with progress; quick when it was done before. `prepare` works without it."""

    def prepare(self, gaussians: GaussianArrays, camera: Camera, settings: RasterSettings, job: Job) -> Frame:
        """Project and sort; the frame goes on asking `job` whether to stop."""

    def prepare_all(
        self, gaussians: GaussianArrays, cameras: Sequence[Camera], settings: RasterSettings, job: Job
    ) -> Iterator[Frame]:
        """The frames of many cameras, one after the other; the Gaussians are checked, and moved to the device, once."""

    def rasterize(
        self,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        features: Tensor,
        cameras: Sequence[Camera],
        background: Tensor | None = None,
        settings: RasterSettings = RasterSettings(),
    ) -> Rendered:
        """Differentiable pictures for cameras of one size.

        means [N, 3], quats [N, 4] (wxyz, of any length but 0), scales [N, 3], opacities [N], features [N, C], or [V, N, C] where they
        differ by camera (as colours do: harmonics.colours), background [C] or [V, C]; float32 (the reference: or float64). Gradients reach
        all of them. Values that are not finite or not allowed raise InvalidInput.
        """
