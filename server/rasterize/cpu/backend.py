# SPDX-License-Identifier: GPL-3.0-or-later
"""The CPU rasterizer; see contract.Backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numba
import numpy as np

from ....core.cameras import Camera, intrinsics
from ....core.gaussians import GaussianArrays
from ...job import Job
from ..contract import RasterSettings, Rendered
from .crew import Crew, Memory
from .frame import CpuFrame
from .splatting import Cloud, Unusable, plain

if TYPE_CHECKING:
    from torch import Tensor


class Cpu:
    """threads: as many as there are cores if None. deterministic: the same bits every time, for one number of threads."""

    name = "cpu"
    version = f"numba {numba.__version__}"

    def __init__(self, threads: int | None = None, deterministic: bool = False) -> None:
        from ..choice import physical_cores

        self._crew, self._memory = Crew(threads or physical_cores(), deterministic), Memory()
        self._warm = False

    @property
    def device(self) -> str:
        return f"cpu, {self._crew.threads} threads" if self._crew.threads > 1 else "cpu, 1 thread"

    def ready(self, job: Job) -> None:
        """Run every kernel once on a few Gaussians: numba compiles it, or loads what it compiled before."""
        if self._warm:
            return
        for k, (text, step) in enumerate(steps := _warm_up(self)):
            job.progress(k / len(steps), f"{text} (compiled once)")
            step()
        self._warm = True

    def prepare(self, gaussians: GaussianArrays, camera: Camera, settings: RasterSettings, job: Job) -> CpuFrame:
        return next(self.prepare_all(gaussians, [camera], settings, job))

    def prepare_all(
        self, gaussians: GaussianArrays, cameras: Sequence[Camera], settings: RasterSettings, job: Job
    ) -> Iterator[CpuFrame]:
        gaussians.validate_shapes()
        with np.errstate(over="ignore", invalid="ignore"):
            quick = np.isfinite(gaussians.sh.sum())
        if not quick and not np.isfinite(gaussians.sh).all():
            gaussians.validate()  # the kernels look at the rest
        cloud = Cloud(*(plain(array) for array in (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities)))
        return (self._frame(gaussians, cloud, camera, settings, job) for camera in cameras)

    def _frame(self, gaussians: GaussianArrays, cloud: Cloud, camera: Camera, settings: RasterSettings, job: Job) -> CpuFrame:
        try:
            return CpuFrame(gaussians, cloud, camera, settings, self._crew, self._memory, job)
        except Unusable:
            gaussians.validate()  # says which, and what is wrong with it
            raise

    def rasterize(
        self,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        features: Tensor,
        cameras: Sequence[Camera],
        background: Tensor | None = None,
        settings: RasterSettings = RasterSettings(),  # noqa: B008 - it is frozen
    ) -> Rendered:
        from ..checks import check_tensors
        from .differentiable import Pictures  # torch, which pictures alone do without

        check_tensors(means, quats, scales, opacities, features, cameras, background)
        if background is None:
            background = features.new_zeros(features.shape[-1])
        background = background.expand(len(cameras), -1)
        tensors = (tensor.cpu() for tensor in (means, quats, scales, opacities, features, background))
        drawn = Pictures.apply(*tensors, list(cameras), settings, self._crew, self._memory)
        return Rendered(*(part.to(means.device) for part in drawn))


def _warm_up(backend: Cpu) -> list[tuple[str, Callable[[], object]]]:
    """What uses every kernel, with words for it."""
    count, side, job = 4, 8, Job()
    gaussians = GaussianArrays(
        means=np.array([[0, 0, 2]] * count, np.float32),
        quats=np.array([[1, 0, 0, 0]] * count, np.float32),
        scales=np.full((count, 3), 0.1, np.float32),
        opacities=np.full(count, 0.5, np.float32),
        sh=np.zeros((count, 1, 3), np.float32),
    )
    camera = Camera(side, side, intrinsics(side, side, side / 2, side / 2), np.eye(4))
    frames: list[CpuFrame] = []

    def gradients() -> None:
        import torch

        means, quats, scales, opacities = (torch.from_numpy(a).requires_grad_() for a in frames[0].cloud.arrays())
        drawn = backend.rasterize(means, quats, scales, opacities, torch.zeros(count, 3), [camera])
        drawn.alpha.sum().backward()

    return [
        ("projection and sorting", lambda: frames.append(backend.prepare(gaussians, camera, RasterSettings(), job))),
        ("pictures", lambda: frames[0].render(normals=True)),
        ("registration", lambda: frames[0].register(np.zeros((side, side, 3), np.float32))),
        ("registration of ids", lambda: frames[0].register_ids(np.ones((side, side), np.int32))),
        ("class maps", lambda: frames[0].dominant_id(np.ones(count, np.int32))),
        ("heaviest Gaussians", lambda: frames[0].topk(2)),
        ("gradients", gradients),
    ]
