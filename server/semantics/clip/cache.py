# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model said of pictures, kept on disk: asking again with other names, after a small change, or in another session costs nothing.

A file is named by a hash of everything that its content depends on: the model's weights, the picture, its regions, and the version of the way
in which regions are shown to the model. Those used longest ago go first when there are too many.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ....core.errors import InvalidFile
from ....core.files import replacing
from ....core.tensors import dumps, loads
from ...caches import user_cache
from .images import RegionVectors

VERSION = "1"
"""To be raised when crops are cut in another way."""
BYTES_MOST = 512 << 20


class FeatureCache:
    """A folder of region vectors."""

    def __init__(self, folder: Path | None = None, bytes_most: int = BYTES_MOST) -> None:
        self.folder = folder or user_cache() / "features"
        self.bytes_most = bytes_most

    def key(self, model: str, rgb: npt.NDArray[np.uint8], regions: npt.NDArray[np.int32]) -> str:
        """The name of what a model says of a picture's regions [H, W]."""
        found = hashlib.sha256(f"{VERSION} {model} {rgb.shape}".encode())
        found.update(np.ascontiguousarray(rgb).data)
        found.update(np.ascontiguousarray(regions).data)
        return found.hexdigest()

    def get(self, key: str, regions: int, dim: int) -> RegionVectors | None:
        """What was kept, if it is there and of this size."""
        path = self._path(key)
        try:
            arrays, _ = loads(path.read_bytes(), f"'{path}'")
            os.utime(path)
        except (OSError, InvalidFile):  # not there, or cut short by a crash: it is made again
            return None
        found = [arrays.get(name) for name in ("specific", "context")]
        if any(one is None or one.shape != (regions, dim) or one.dtype != np.float32 for one in found):
            return None
        return RegionVectors(*(torch.from_numpy(one) for one in found))

    def put(self, key: str, vectors: RegionVectors) -> None:
        """Keep vectors. A disk that refuses costs nothing but the next look."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._path(key)) as file:
                file.write(dumps({"specific": vectors.specific.numpy(), "context": vectors.context.numpy()}, {}))
            self._prune()
        except (OSError, InvalidFile):
            return

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _prune(self) -> None:
        """Remove what was used longest ago while there is too much."""
        entries = sorted(
            ((e.stat().st_mtime, e.stat().st_size, e) for e in self.folder.glob("*.safetensors")), key=lambda e: e[0]
        )
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.bytes_most:
                return
            path.unlink(missing_ok=True)
            total -= size
