# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays by name in one block of bytes, as the safetensors format has them: no code inside, and the sizes known before anything is read.

Eight bytes, the length of a JSON header; the header, {name: {dtype, shape, data_offsets}, "__metadata__": {text: text}}; then the arrays, end to
end, little endian. Blender's Python has numpy but not the safetensors package, and scenes are written and read on both sides; so these few
lines stand here, and the tests hold them against the package both ways.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InvalidFile

Array = npt.NDArray[Any]

_DTYPES = {"U8": np.uint8, "F16": np.float16, "F32": np.float32, "I32": np.int32, "I64": np.int64}
_NAMES = {np.dtype(kind): name for name, kind in _DTYPES.items()}
_HEADER_MOST = 1 << 20
_METADATA = "__metadata__"


def dumps(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """The block of some arrays (uint8, float16, float32, int32, int64) and texts."""
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    position = 0
    for name, array in arrays.items():
        span = [position, position + array.nbytes]
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": span}
        position += array.nbytes
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(np.ascontiguousarray(a).tobytes() for a in arrays.values())])


def loads(block: bytes, where: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and texts of a block; anything else raises InvalidFile, which calls it `where`. The arrays are copies."""
    try:
        (length,) = struct.unpack_from("<Q", block)
        if length > min(_HEADER_MOST, len(block) - 8):
            raise ValueError(f"a header of {length:,} bytes")
        header = json.loads(block[8 : 8 + length])
        metadata = {str(key): str(value) for key, value in header.pop(_METADATA, {}).items()}
        arrays = {name: _array(entry, block, 8 + length) for name, entry in header.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidFile(f"{where} is not a safetensors block: {error}.", "Make it again.") from error
    return arrays, metadata


def _array(entry: Mapping[str, Any], block: bytes, base: int) -> Array:
    dtype = np.dtype(_DTYPES[entry["dtype"]])
    start, stop = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if any(not isinstance(side, int) or side < 0 for side in (start, stop, *shape)):
        raise ValueError(f"sizes {shape}, {start} to {stop}")
    count = 1
    for side in shape:  # Python's whole numbers, which do not wrap around
        count *= side
    if stop - start != count * dtype.itemsize or base + stop > len(block):
        raise ValueError(f"{stop - start:,} bytes for an array {dtype} {shape}")
    return np.frombuffer(block, dtype, count, base + start).reshape(shape).copy()
