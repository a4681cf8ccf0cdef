# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians with labels, as plain numpy arrays.

Activated values in memory (linear scales, opacity 0 to 1, unit quaternions); 3DGS files hold logarithms and logits, and
`ply.py` converts. Colour is the degree-0 spherical harmonic of sRGB colour as in 3DGS: f_dc = (rgb - 0.5) / SH_C0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InvalidInput

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
ByteArray = npt.NDArray[np.uint8]

SH_C0 = 0.28209479177387814
"""The constant of the degree-0 spherical harmonic, 1 / (2 sqrt(pi))."""


@dataclass(frozen=True)
class GaussianArrays:
    """N Gaussians.

    means: [N, 3] float32, world, scene units.
    quats: [N, 4] float32, wxyz, unit length: the rotation from the Gaussian's axes to the world's.
    scales: [N, 3] float32, standard deviations along those axes, scene units, > 0.
    opacities: [N] float32 in 0..1.
    sh: [N, K, 3] float32 spherical harmonics of sRGB colour, K = 1, 4, 9 or 16.
    label: [N] int32 label id (a place in a LabelMap), or None.
    instance: [N] int32 instance number, 0 for none, or None.
    confidence: [N] float32 in 0..1, how sure the label is, or None.
    words, shares: [N, 4] uint8 places in the scene's codebook and their shares of 255 (heaviest first, 0 where there are fewer), or None.
    taught: [N] int32 the label id that a person gave, -1 where none did, or None.
    """

    means: FloatArray
    quats: FloatArray
    scales: FloatArray
    opacities: FloatArray
    sh: FloatArray
    label: IntArray | None = None
    instance: IntArray | None = None
    confidence: FloatArray | None = None
    words: ByteArray | None = None
    shares: ByteArray | None = None
    taught: IntArray | None = None

    def __len__(self) -> int:
        return len(self.means)

    @property
    def sh_degree(self) -> int:
        return int(np.sqrt(self.sh.shape[1])) - 1

    @property
    def rgb(self) -> FloatArray:
        """[N, 3] float32 sRGB colour seen from everywhere (the degree-0 term), clipped to 0..1."""
        colours: FloatArray = self.sh[:, 0] * np.float32(SH_C0) + np.float32(0.5)
        return colours.clip(0, 1)

    def select(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> GaussianArrays:
        """The Gaussians that a boolean mask [N] or an index array picks."""
        rows: npt.NDArray[np.integer] = np.flatnonzero(which) if which.dtype == bool else which.astype(np.int64, copy=False)
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        # np.take is several times faster here than indexing.
        picked: dict[str, Any] = {k: None if v is None else np.take(v, rows, axis=0) for k, v in columns.items()}
        return GaussianArrays(**picked)

    def validate_shapes(self) -> None:
        """Raise InvalidInput unless shapes and dtypes are as documented; quick."""
        n = len(self.means)
        bands = self.sh.shape[1] if self.sh.ndim == 3 else 0
        if bands not in (1, 4, 9, 16):
            raise InvalidInput(f"Spherical harmonics need 1, 4, 9 or 16 coefficients, not an array {self.sh.shape}.")
        shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
            "means": ((n, 3), np.float32),
            "quats": ((n, 4), np.float32),
            "scales": ((n, 3), np.float32),
            "opacities": ((n,), np.float32),
            "sh": ((n, bands, 3), np.float32),
            "label": ((n,), np.int32),
            "instance": ((n,), np.int32),
            "confidence": ((n,), np.float32),
            "words": ((n, 4), np.uint8),
            "shares": ((n, 4), np.uint8),
            "taught": ((n,), np.int32),
        }
        for name, (shape, dtype) in shapes.items():
            array = getattr(self, name)
            if array is None:
                continue
            if array.shape != shape or array.dtype != dtype:
                raise InvalidInput(f"Gaussian {name} are {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}.")
        if (self.words is None) != (self.shares is None):
            raise InvalidInput("Gaussians have words without shares, or shares without words.", "Give both or neither.")

    def validate(self) -> None:
        """Raise InvalidInput unless shapes, dtypes and values are as documented."""
        self.validate_shapes()
        n = len(self.means)
        for name in ("means", "quats", "scales", "opacities", "sh", "confidence"):
            array = getattr(self, name)
            if array is not None and not np.isfinite(array).all():
                bad = int(np.argwhere(~np.isfinite(array))[0][0])
                raise InvalidInput(f"Gaussian {bad} has {name} that are not finite.", "Remove it and try again.")
        if n and (self.scales <= 0).any():
            raise InvalidInput(f"Gaussian scales must be positive, not {float(self.scales.min()):g}.")
        if n and (np.abs(np.linalg.norm(self.quats, axis=1) - 1) > 1e-3).any():
            raise InvalidInput("Gaussian rotations must be unit quaternions (wxyz).", "Normalise them.")
        for name in ("opacities", "confidence"):
            array = getattr(self, name)
            if array is not None and ((array < 0) | (array > 1)).any():
                raise InvalidInput(f"Gaussian {name} must lie in 0..1.")
        for name in ("label", "instance"):
            array = getattr(self, name)
            if array is not None and (array < 0).any():
                raise InvalidInput(f"Gaussian {name} numbers must not be negative, as {int(array.min())} is.")


def sh_from_rgb(rgb: npt.NDArray[np.floating]) -> FloatArray:
    """sRGB colours [N, 3] in 0..1 -> degree-0 spherical harmonics [N, 1, 3] float32."""
    return ((rgb - 0.5) / SH_C0).astype(np.float32)[:, None, :]
