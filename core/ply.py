# SPDX-License-Identifier: GPL-3.0-or-later
"""3DGS PLY files, with and without labels.

The properties are those of the original 3DGS code: x y z, nx ny nz (zeros), f_dc_0..2, f_rest_* (channel after channel),
opacity (a logit), scale_0..2 (logarithms), rot_0..3 (wxyz). Labels follow as `int label`, `int instance`, `float confidence`;
readers that know only float properties need a strict file, without them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from .errors import InvalidFile, InvalidInput
from .files import replacing
from .gaussians import GaussianArrays

MAX_HEADER_BYTES = 1 << 16
MAX_GAUSSIANS = 100_000_000
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
_REQUIRED = ("x", "y", "z", "f_dc_0", "opacity", "scale_0", "rot_0")
_LOGIT_LIMIT = 15.0
"""Opacities 0 and 1 become logits of -15 and 15 (3e-7 from the end): finite, as files need them."""


def write_ply(path: str | os.PathLike[str], gaussians: GaussianArrays, *, strict: bool = False) -> None:
    """Write Gaussians as a binary 3DGS PLY; `strict` leaves the labels out. The file appears only once it is whole."""
    gaussians.validate()
    columns = _columns(gaussians, strict)
    record = np.empty(len(gaussians), dtype=[(name, "<i4" if a.dtype == np.int32 else "<f4") for name, a in columns.items()])
    for name, array in columns.items():
        record[name] = array
    lines = ["ply", "format binary_little_endian 1.0", "comment Splatonym", f"element vertex {len(gaussians)}"]
    lines += [f"property {'int' if a.dtype == np.int32 else 'float'} {name}" for name, a in columns.items()]
    header = "\n".join([*lines, "end_header", ""]).encode("ascii")
    with replacing(Path(path)) as file:
        file.write(header)
        file.write(record.view(np.uint8).data)


def _columns(g: GaussianArrays, strict: bool) -> dict[str, npt.NDArray[np.generic]]:
    zeros = np.zeros(len(g), np.float32)
    out: dict[str, npt.NDArray[np.generic]] = {name: g.means[:, k] for k, name in enumerate("xyz")}
    out |= {name: zeros for name in ("nx", "ny", "nz")}
    out |= {f"f_dc_{k}": g.sh[:, 0, k] for k in range(3)}
    rest = g.sh[:, 1:].transpose(0, 2, 1).reshape(len(g), 3 * (g.sh.shape[1] - 1))
    out |= {f"f_rest_{k}": rest[:, k] for k in range(rest.shape[1])}
    opacity = g.opacities.astype(np.float64)
    with np.errstate(divide="ignore"):
        logit = np.log(opacity) - np.log1p(-opacity)
    out["opacity"] = np.clip(logit, -_LOGIT_LIMIT, _LOGIT_LIMIT).astype(np.float32)
    log_scales = np.log(g.scales)
    out |= {f"scale_{k}": log_scales[:, k] for k in range(3)}
    out |= {f"rot_{k}": g.quats[:, k] for k in range(4)}
    if not strict:
        extras = {"label": g.label, "instance": g.instance, "confidence": g.confidence}
        out |= {name: array for name, array in extras.items() if array is not None}
    return out


def read_ply(path: str | os.PathLike[str]) -> GaussianArrays:
    """Read a binary 3DGS PLY, of either byte order, with or without labels; anything else raises InvalidFile."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            dtype, count = _read_header(file, path)
            left = os.fstat(file.fileno()).st_size - file.tell()
            if left < count * dtype.itemsize:
                raise InvalidFile(
                    f"'{path.name}' ends early: {count} Gaussians need {count * dtype.itemsize} bytes, {left} are there.",
                    "The file was cut off; copy or export it again.",
                )
            record = np.fromfile(file, dtype=dtype, count=count)
    except OSError as error:
        raise InvalidFile(f"'{path}' cannot be read: {error.strerror}.", "Check the path and its permissions.") from error
    try:
        with np.errstate(all="ignore"):  # what overflows on the way is found by validate
            gaussians = _from_record(record, path)
        gaussians.validate()
    except InvalidFile:
        raise
    except InvalidInput as error:
        raise InvalidFile(f"'{path.name}': {error.message}", error.hint) from error
    return gaussians


def _read_header(file: BinaryIO, path: Path) -> tuple[np.dtype[np.void], int]:
    """The vertex record's dtype and count; leaves the file at the first record."""
    hint = "Only binary 3DGS PLY files with one element 'vertex' can be read."
    raw = file.read(MAX_HEADER_BYTES)
    end = raw.find(b"\nend_header\n") + 1
    if not raw.startswith(b"ply\n") and not raw.startswith(b"ply\r\n"):
        raise InvalidFile(f"'{path.name}' is not a PLY file.", hint)
    if not end or b"\r" in raw[:end]:
        raise InvalidFile(f"'{path.name}' has no PLY header that can be read.", hint)
    order, count, fields = "", -1, []
    for line in raw[:end].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        match words:
            case ["comment" | "obj_info", *_] | []:
                pass
            case ["format", "binary_little_endian" | "binary_big_endian" as form, _]:
                order = "<" if "little" in form else ">"
            case ["element", "vertex", number] if count < 0 and number.isdecimal():
                count = int(number[:18])
            case ["property", kind, name] if kind in _TYPES and count >= 0:
                fields.append((name, order + _TYPES[kind]))
            case _:
                raise InvalidFile(f"'{path.name}' has the header line '{line[:80]}', which is not understood.", hint)
    if not order or count < 0 or not fields or len({name for name, _ in fields}) != len(fields):
        raise InvalidFile(f"'{path.name}' has an incomplete PLY header.", hint)
    if count > MAX_GAUSSIANS:
        raise InvalidFile(f"'{path.name}' claims {count} Gaussians.", f"At most {MAX_GAUSSIANS} are read.")
    file.seek(end + len(b"end_header\n"))
    return np.dtype(fields), count


def _from_record(record: npt.NDArray[np.void], path: Path) -> GaussianArrays:
    names = record.dtype.names or ()
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise InvalidFile(
            f"'{path.name}' is a PLY file, but not of Gaussians: it has no property '{missing[0]}'.",
            "Export it as 3DGS PLY (uncompressed).",
        )

    def stack(stem: str, count: int) -> npt.NDArray[np.float32]:
        wanted = [f"{stem}{k}" for k in range(count)]
        if any(name not in names for name in wanted):
            raise InvalidFile(f"'{path.name}' lacks some of the properties {wanted[0]} to {wanted[-1]}.")
        return np.stack([record[name] for name in wanted], axis=-1).astype(np.float32)

    rest_count = sum(name.startswith("f_rest_") for name in names)
    if rest_count not in (0, 9, 24, 45):
        raise InvalidFile(f"'{path.name}' has {rest_count} f_rest properties; 0, 9, 24 or 45 are known.")
    dc = stack("f_dc_", 3)[:, None, :]
    rest = stack("f_rest_", rest_count).reshape(len(record), 3, rest_count // 3).transpose(0, 2, 1) if rest_count else dc[:, :0]
    quats = stack("rot_", 4).astype(np.float64)
    lengths = np.linalg.norm(quats, axis=1, keepdims=True)
    quats = np.where(lengths <= 1e-12, [1.0, 0.0, 0.0, 0.0], quats / np.maximum(lengths, 1e-12))

    def column(name: str, dtype: type[np.generic]) -> npt.NDArray[np.generic] | None:
        return record[name].astype(dtype) if name in names else None

    return GaussianArrays(
        means=np.stack([record[k] for k in "xyz"], axis=-1).astype(np.float32),
        quats=quats.astype(np.float32),
        scales=np.exp(np.clip(stack("scale_", 3), -80, 80)),
        opacities=(1 / (1 + np.exp(-record["opacity"].astype(np.float64)))).astype(np.float32),
        sh=np.ascontiguousarray(np.concatenate([dc, rest], axis=1)),
        label=column("label", np.int32),  # type: ignore[arg-type]
        instance=column("instance", np.int32),  # type: ignore[arg-type]
        confidence=column("confidence", np.float32),  # type: ignore[arg-type]
    )
