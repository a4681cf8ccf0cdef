# SPDX-License-Identifier: GPL-3.0-or-later
"""What every backend refuses, in the same words: each function raises InvalidInput, or returns nothing.

The Gaussians of a scene are checked by GaussianArrays.validate; here are the questions asked of a frame, and `rasterize`'s tensors.
torch is not imported: a backend that answers with numpy starts without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...core.cameras import Camera
from ...core.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

TOPK_MOST = 64
"""Gaussians per pixel that `topk` gives at most."""


def check_features(features: npt.NDArray[Any], count: int) -> None:
    """features: [count, C], finite, C at least 1."""
    if features.ndim != 2 or len(features) != count or not features.shape[1]:
        raise InvalidInput(f"Features {features.shape} do not fit {count} Gaussians.", f"Give an array [{count}, channels].")
    _finite("Features", features)


def check_background(background: npt.NDArray[Any], channels: int) -> None:
    """background: [channels], finite."""
    if background.shape != (channels,):
        raise InvalidInput(f"A background {background.shape} does not fit {channels} channels.", "Give one number a channel.")
    _finite("The background", background)


def check_image(image: npt.NDArray[Any], camera: Camera) -> None:
    """image: [H, W, C], finite, C at least 1."""
    if image.ndim != 3 or image.shape[:2] != (camera.height, camera.width) or not image.shape[2]:
        raise InvalidInput(
            f"An image {image.shape} does not fit a camera of {camera.width}x{camera.height} pixels.",
            f"Give an array [{camera.height}, {camera.width}, channels].",
        )
    _finite("The image", image)


def check_pixel_ids(ids: npt.NDArray[Any], camera: Camera) -> None:
    """ids: [H, W], whole numbers of at least 0."""
    if ids.shape != (camera.height, camera.width):
        raise InvalidInput(
            f"Ids {ids.shape} do not fit a camera of {camera.width}x{camera.height} pixels.",
            f"Give an array [{camera.height}, {camera.width}].",
        )
    _ids(ids)


def check_gaussian_ids(ids: npt.NDArray[Any], count: int) -> None:
    """ids: [count], whole numbers of at least 0."""
    if ids.shape != (count,):
        raise InvalidInput(f"Ids {ids.shape} do not fit {count} Gaussians.", f"Give an array [{count}].")
    _ids(ids)


def check_topk(k: int) -> None:
    if not 1 <= k <= TOPK_MOST:
        raise InvalidInput(f"The {k} heaviest Gaussians of a pixel cannot be asked for.", f"Ask for 1 to {TOPK_MOST}.")


def check_tensors(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    features: Tensor,
    cameras: Sequence[Camera],
    background: Tensor | None = None,
    *,
    dtypes: Sequence[str] = ("float32",),
) -> None:
    """The arguments of Backend.rasterize; `dtypes` are the names of those that the backend takes."""
    if not cameras:
        raise InvalidInput("There is no camera to rasterize for.", "Give at least one.")
    sizes = {(camera.width, camera.height) for camera in cameras}
    if len(sizes) > 1:
        said = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise InvalidInput(f"The cameras' pictures differ in size: {said}.", "Rasterize each size by itself.")

    n, v = len(means), len(cameras)
    c = features.shape[-1] if features.ndim else 0
    shapes: dict[str, tuple[Tensor, list[tuple[int, ...]]]] = {
        "means": (means, [(n, 3)]),
        "quats": (quats, [(n, 4)]),
        "scales": (scales, [(n, 3)]),
        "opacities": (opacities, [(n,)]),
        "features": (features, [(n, c), (v, n, c)]),
    }
    if background is not None:
        shapes["background"] = (background, [(c,), (v, c)])
    for name, (tensor, allowed) in shapes.items():
        if tuple(tensor.shape) not in allowed or not c:
            said = " or ".join(str(list(shape)) for shape in allowed)
            raise InvalidInput(f"The tensor {name} is {list(tensor.shape)}.", f"With {n} Gaussians it has to be {said}.")
        if str(tensor.dtype).removeprefix("torch.") not in dtypes or tensor.dtype != means.dtype:
            raise InvalidInput(f"The tensor {name} is {tensor.dtype}.", f"Make all of them {' or all '.join(dtypes)}.")
        if tensor.device != means.device:
            raise InvalidInput(f"The tensor {name} is on {tensor.device}, means on {means.device}.", "Move them to one device.")
        if not bool(tensor.isfinite().all()):
            raise InvalidInput(f"The tensor {name} has values that are not finite.", "Leave those Gaussians out.")
    for name, wrong, repair in (
        ("quats of length 0", (quats == 0).all(-1), "A rotation needs a quaternion of any other length."),
        ("scales that are not positive", (scales <= 0).any(-1), "Give standard deviations, not their logarithms."),
        ("opacities outside of 0..1", (opacities < 0) | (opacities > 1), "Give opacities, not their logits."),
    ):
        if bool(wrong.any()):
            raise InvalidInput(f"Gaussian {int(wrong.nonzero()[0, 0])} has {name}.", repair)


def _finite(what: str, values: npt.NDArray[Any]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        quick = np.isfinite(values.sum())  # several times as fast; wrong only if the sum overflows
    if not quick and not np.isfinite(values).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise InvalidInput(f"{what} must be finite, and {values[place]} at {place} is not.", "Replace it, by 0 for instance.")


def _ids(ids: npt.NDArray[Any]) -> None:
    if not np.issubdtype(ids.dtype, np.integer):
        raise InvalidInput(f"Ids must be whole numbers, not {ids.dtype}.", "Give an array of int32.")
    if ids.size and ids.max() >= 1 << 31:
        raise InvalidInput(f"The id {int(ids.max())} does not fit an int32.", "Number the ids anew.")
    if ids.size and ids.min() < 0:
        raise InvalidInput(f"Ids must be at least 0, and {int(ids.min())} is not.", "Use 0 for nothing.")
