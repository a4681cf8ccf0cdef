# SPDX-License-Identifier: GPL-3.0-or-later
"""A view: one camera and the pictures seen through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .cameras import Camera
from .errors import InvalidInput

ImageArray = npt.NDArray[np.generic]


@dataclass(frozen=True)
class View:
    """One posed picture.

    name: what messages call it (a camera's or a file's name).
    camera: Camera of the same size as the pictures.
    rgb: [H, W, 3] uint8, sRGB.
    depth: [H, W] float32 planar depth in scene units, 0 where there is none; or None.
    index: [H, W] int32 instance number, 0 for nothing; or None.
    """

    name: str
    camera: Camera
    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32] | None = None
    index: npt.NDArray[np.int32] | None = None

    def validate(self) -> None:
        """Raise InvalidInput unless shapes, dtypes and values are as documented."""
        size = (self.camera.height, self.camera.width)
        self._expect("picture", self.rgb, (*size, 3), np.uint8)
        if self.depth is not None:
            self._expect("depth", self.depth, size, np.float32)
            wrong = int((~np.isfinite(self.depth)).sum())
            if wrong:
                raise InvalidInput(
                    f"The depth of view '{self.name}' has {wrong} values that are not numbers.",
                    "Write 0 where there is no depth.",
                )
            if (self.depth < 0).any():
                raise InvalidInput(
                    f"The depth of view '{self.name}' is negative ({float(self.depth.min()):g}).",
                    "Planar depth is positive in front of the camera, and 0 where there is none.",
                )
        if self.index is not None:
            self._expect("instance map", self.index, size, np.int32)
            if (self.index < 0).any():
                raise InvalidInput(f"The instance map of view '{self.name}' has negative numbers.", "Use 0 for nothing.")

    def _expect(self, what: str, array: ImageArray, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        if array.shape != shape or array.dtype != dtype:
            raise InvalidInput(
                f"The {what} of view '{self.name}' is {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}.",
                "Pictures and camera must have the same size.",
            )


@dataclass(frozen=True)
class Instance:
    """One thing of the scene: its number in the instance maps (> 0), its name, and the name of its class."""

    id: int
    name: str
    class_name: str
