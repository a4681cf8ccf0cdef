# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames: how one header and its arrays travel as bytes.

    prelude   20 bytes, little-endian: magic "SPLN", uint32 frame version, uint32 header length, uint64 payload length
    header    a UTF-8 JSON object; its "arrays" are [{"name", "dtype", "shape", "offset"}, ...], offsets in the payload
    payload   the arrays, raw, little-endian, C order, one directly behind the other

Everything that the prelude and the header claim is checked before a byte is allocated for the arrays; these are then read
straight into their place, and floats are looked through for NaN and infinity piece by piece while they are still in the
processor's cache, which costs little beside the copying (scripts/benchmarks/wire.py). Nothing here knows what the arrays mean.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from .errors import (
    ArrayTooLarge,
    BadArray,
    BadHeader,
    HeaderTooLarge,
    NotFinite,
    TruncatedFrame,
    UnknownDtype,
    WrongMagic,
    WrongVersion,
)

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

MAGIC = b"SPLN"
FRAME_VERSION = 1
"""The version of this layout alone; what is said in it has its own (PROTOCOL_VERSION)."""
PRELUDE = struct.Struct("<4sIIQ")
DTYPES = {name: np.dtype(f"<{name}") for name in ("u1", "i1", "u2", "i4", "i8", "f2", "f4", "f8")}
"""All that travels. No objects, no records, no text."""
MAX_DIMENSIONS = 8
_PIECE = 1 << 20
"""Bytes read and checked at a time: as much as a pipe holds."""
_PAGE, _HUGE_PAGE = 4096, 2 << 20
_WRITE = 1 << 28
"""Bytes written at a time: some systems refuse writes of 2 GiB and more."""


@dataclass(frozen=True)
class Limits:
    """What one side accepts, in bytes."""

    header: int = 1 << 20
    array: int = 2 << 30
    payload: int = 8 << 30


class Source(Protocol):
    """Where frames come from: an unbuffered file, a pipe, BytesIO."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class Sink(Protocol):
    """Where frames go; may write less than given."""

    def write(self, data: bytes | memoryview, /) -> int | None: ...


@dataclass(frozen=True)
class ArraySpec:
    """One array as the header announces it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


@dataclass(frozen=True)
class Frame:
    """A frame ready to be written: prelude with header, and views of the arrays' own memory, not to be changed meanwhile."""

    head: bytes
    payload: tuple[memoryview, ...]

    def write_to(self, sink: Sink) -> None:
        """Write all of it; blocks until the other side has taken it."""
        for buffer in (memoryview(self.head), *self.payload):
            place = 0
            while place < len(buffer):
                place += sink.write(buffer[place : place + _WRITE]) or 0

    @property
    def bytes(self) -> int:
        return len(self.head) + sum(map(len, self.payload))


def pack_frame(header: Mapping[str, Any], arrays: Arrays, limits: Limits) -> Frame:
    """Make a frame of a JSON header (without "arrays") and named arrays, which are copied only where they are not C-ordered."""
    specs: list[dict[str, Any]] = []
    payload: list[memoryview] = []
    offset = 0
    for name, array in arrays.items():
        dtype = array.dtype.str[1:]
        plain = np.asarray(array, dtype=DTYPES.get(dtype), order="C")
        specs.append({"name": name, "dtype": dtype, "shape": list(plain.shape), "offset": offset})
        _check_spec(specs[-1])
        offset += plain.nbytes
        if plain.nbytes:
            payload.append(memoryview(plain.reshape(-1).view(np.uint8)))  # type: ignore[arg-type]
    check_specs(specs, offset, limits)
    try:
        text = json.dumps({**header, "arrays": specs}, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise BadHeader(f"This message cannot be written as JSON: {error}.", "Send plain numbers, texts and lists.") from error
    _check_header_size(len(text), limits)
    return Frame(PRELUDE.pack(MAGIC, FRAME_VERSION, len(text), offset) + text, tuple(payload))


class FrameReader:
    """Reads frames from a source, each in two steps: its header, and (the caller now knows whom it concerns) its arrays.

    After a WireError that is no BrokenStream, or without `read_arrays`, the next `read_header` skips what is left of the frame.
    """

    def __init__(self, source: Source, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._source = source
        self._left = 0
        self._announced: object = None
        self._piece = bytearray(_PIECE)
        self._finite = np.empty(_PIECE, dtype=np.bool_)

    def read_header(self) -> dict[str, Any] | None:
        """The next frame's header, or None where the source ends between two frames."""
        self._skip()
        prelude = self._read(PRELUDE.size, "prelude")
        if prelude is None:
            return None
        magic, version, length, self._left = PRELUDE.unpack(prelude)
        if magic != MAGIC:
            raise WrongMagic(
                f"The other side sent {bytes(magic)!r} where a frame begins with {MAGIC!r}.",
                "Something else wrote into the pipe, or it is not a Splatonym server.",
            )
        if version != FRAME_VERSION:
            raise WrongVersion(
                f"The other side speaks frame version {version}, this one {FRAME_VERSION}.",
                "Use the same version of Splatonym on both sides.",
            )
        _check_header_size(length, self.limits)
        text = self._read(length, "header")
        if text is None:
            raise _truncated("header", 0, length)
        try:
            header = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BadHeader(f"A message's header is not JSON: {error}.", "The other side has a bug.") from error
        if not isinstance(header, dict):
            raise BadHeader(
                f"A message's header is a JSON {type(header).__name__}, not an object.", "The other side has a bug."
            )
        self._announced = header.pop("arrays", [])
        return header

    def read_arrays(self) -> dict[str, Array]:
        """The arrays of the frame whose header was read last, each checked; they share one block of memory."""
        specs = check_specs(self._announced, self._left, self.limits)
        starts = [0]
        for spec in specs:
            starts.append(starts[-1] + -(-spec.bytes // _PAGE) * _PAGE)
        block = aligned_block(starts.pop())
        return {
            spec.name: self._read_array(spec, block[start : start + spec.bytes])
            for spec, start in zip(specs, starts, strict=True)
        }

    def _read_array(self, spec: ArraySpec, memory: npt.NDArray[np.uint8]) -> Array:
        array = memory.view(DTYPES[spec.dtype]).reshape(spec.shape)
        flat, target = array.reshape(-1), memoryview(memory)  # type: ignore[arg-type]
        floats, width = array.dtype.kind == "f", array.itemsize
        place = checked = 0
        while place < len(target):
            got = self._source.readinto(target[place : place + _PIECE])
            if not got:
                raise _truncated(f"array '{spec.name}'", place, len(target))
            place += got
            self._left -= got
            if floats:
                checked = self._check_finite(spec, flat, checked, place // width)
        return array

    def _check_finite(self, spec: ArraySpec, flat: Array, start: int, end: int) -> int:
        """Raise NotFinite if flat[start:end] holds NaN or infinity; returns `end`."""
        finite = self._finite[: end - start]
        np.isfinite(flat[start:end], out=finite)
        if not finite.all():
            bad = start + int(finite.argmin())
            where = ", ".join(str(int(k)) for k in np.unravel_index(bad, spec.shape)) if spec.shape else "0"
            raise NotFinite(f"The array '{spec.name}' holds {flat[bad]} at [{where}].", "Only finite numbers can be sent.")
        return end

    def _read(self, length: int, what: str) -> bytearray | None:
        """`length` bytes, or None if the source ends before the first of them."""
        buffer = bytearray(length)
        view, place = memoryview(buffer), 0
        while place < length:
            got = self._source.readinto(view[place:])
            if not got:
                if place:
                    raise _truncated(what, place, length)
                return None
            place += got
        return buffer

    def _skip(self) -> None:
        """Read past what is left of the frame before, without keeping it."""
        view = memoryview(self._piece)
        while self._left:
            got = self._source.readinto(view[: min(self._left, _PIECE)])
            if not got:
                raise _truncated("payload", 0, self._left)
            self._left -= got


def aligned_block(size: int) -> npt.NDArray[np.uint8]:
    """Uninitialised memory [size] from the start of a page on; of a huge page, where there is much of it.

    A pipe's buffers are pages. numpy puts large arrays 16 bytes behind the start of one, and copying a page to an address that
    differs from its own by so little, modulo 4096, is the slow case of many processors ("4K aliasing"): half the speed. One
    block for all arrays of a frame also spares the system thousands of small pages.
    """
    page = _HUGE_PAGE if size >= 2 * _HUGE_PAGE else _PAGE
    memory = np.empty(size + page, np.uint8)
    start = -memory.ctypes.data % page
    return memory[start : start + size]


def check_specs(announced: object, payload: int, limits: Limits) -> list[ArraySpec]:
    """The announced arrays, once their types, shapes, places and sizes hold together; nothing is allocated for them."""
    if not isinstance(announced, Sequence) or isinstance(announced, str):
        raise BadArray(f"A message's arrays are a {type(announced).__name__}, not a list.")
    specs: list[ArraySpec] = []
    names: set[str] = set()
    offset = 0
    for item in announced:
        spec = _check_spec(item)
        if spec.name in names:
            raise BadArray(f"The array '{spec.name}' comes twice in one message.")
        # An empty array with one huge side would be refused by numpy later; count no side as less than 1.
        if math.prod(max(side, 1) for side in spec.shape) * DTYPES[spec.dtype].itemsize > limits.array:
            raise ArrayTooLarge(
                f"The array '{spec.name}' of {spec.dtype} {_short(spec.shape)} is larger than {limits.array >> 20} MB.",
                "Send less at a time, or raise the limit (--max-array-mb).",
            )
        if type(item["offset"]) is not int or item["offset"] != offset:
            raise BadArray(f"The array '{spec.name}' claims the offset {_short(item['offset'])}, but stands at {offset}.")
        offset += spec.bytes
        names.add(spec.name)
        specs.append(spec)
    if offset != payload:
        raise BadArray(f"A message's arrays take {offset} bytes, but its payload has {payload}.")
    if payload > limits.payload:
        raise ArrayTooLarge(
            f"The arrays of one message take {payload >> 20} MB, the limit is {limits.payload >> 20} MB.",
            "Send less at a time.",
        )
    return specs


def _check_spec(item: object) -> ArraySpec:
    if not isinstance(item, Mapping) or not {"name", "dtype", "shape", "offset"} <= set(item):
        raise BadArray(f"An array is announced as {_short(item)}.", "It needs name, dtype, shape and offset.")
    name, dtype, shape = item["name"], item["dtype"], item["shape"]
    if not isinstance(name, str) or not name or len(name) > 200:
        raise BadArray(f"{_short(name)} is no name for an array.")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise UnknownDtype(f"The array '{name}' has the type {_short(dtype)}.", f"These travel: {', '.join(DTYPES)}.")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise BadArray(f"The array '{name}' has the shape {_short(shape)}.", "A shape is a list of whole numbers from 0 on.")
    if len(shape) > MAX_DIMENSIONS:
        raise BadArray(f"The array '{name}' has {len(shape)} dimensions.", f"At most {MAX_DIMENSIONS} are used.")
    return ArraySpec(name, dtype, tuple(shape))


def _check_header_size(length: int, limits: Limits) -> None:
    if length > limits.header:
        raise HeaderTooLarge(
            f"A message's header has {length} bytes, the limit is {limits.header}.",
            "Large things travel as arrays, not in the header.",
        )


def _truncated(what: str, got: int, expected: int) -> TruncatedFrame:
    return TruncatedFrame(
        f"The other side stopped in the middle of a message: {got} of {expected} bytes of its {what} came.",
        "It ended; see its log.",
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _short(value: object) -> str:
    """A claimed value as a few characters: it may be anything, of any length."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number of more than 60 digits"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_short(v) for v in value[:9]) + (", ...]" if len(value) > 9 else "]")
    text = repr(value) if not isinstance(value, dict) else f"an object with {len(value)} fields"
    return text if len(text) <= 80 else text[:77] + "..."
