# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipe beside a bare pipe: what frames and their checks cost over moving the same bytes.

A child process sends about 100 MB on request in three ways, always from the same memory and through the same pipe:
- plain: os.write of each array, read into arrays of np.empty, as one would write it without much thought;
- bare: the same, but read into memory that begins with a page, as the wire's arrays do (see framing.aligned_empty);
- wire: one message, framed, checked, every float looked at.
The overhead is the median of wire/bare over neighbouring runs, so that what else the machine does weighs on both alike; that of
the fastest runs, and that over the plain way, stand beside it.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from splatonym.core.wire.client import widen_pipe
from splatonym.core.wire.framing import Array, FrameReader, aligned_empty
from splatonym.core.wire.messages import Result, pack, read_message

PLAIN, BARE, WIRE = b"p", b"b", b"w"
Shapes = list[tuple[tuple[int, ...], np.dtype[Any]]]


def one_array() -> dict[str, Array]:
    """100 MB in one float32 array."""
    return {"values": np.random.default_rng(1).random(25_000_000, np.float32)}


def gaussians() -> dict[str, Array]:
    """1.6 million labelled Gaussians, as `predict` returns them."""
    rng, n = np.random.default_rng(1), 1_600_000
    sides = {"means": (n, 3), "quats": (n, 4), "scales": (n, 3), "opacities": (n,), "sh": (n, 1, 3), "confidence": (n,)}
    numbers = {name: np.zeros(n, np.int32) for name in ("label", "instance")}
    return {f"scene.{name}": rng.random(shape, np.float32) for name, shape in sides.items()} | {
        f"scene.{name}": array for name, array in numbers.items()
    }


def views() -> dict[str, Array]:
    """36 views of 512x512, as `predict` is sent them."""
    rng, size = np.random.default_rng(1), (512, 512)
    arrays: dict[str, Array] = {}
    for k in range(36):
        arrays[f"view.{k}.rgb"] = rng.integers(0, 255, (*size, 3), np.uint8)
        arrays[f"view.{k}.depth"] = rng.random(size, np.float32)
        arrays[f"view.{k}.index"] = rng.integers(0, 50, size, np.int32)
    return arrays


CASES = {"one array": one_array, "gaussians": gaussians, "views": views}


def child(case: str) -> None:
    """Send the case's arrays, in the way asked for, until stdin ends."""
    arrays = CASES[case]()
    blocks = [memoryview(array.reshape(-1).view(np.uint8)) for array in arrays.values()]  # type: ignore[arg-type]
    message = Result(1, {}, arrays)
    out = io.FileIO(1, "wb", closefd=False)
    while asked := os.read(0, 1):
        if asked == WIRE:
            pack(message).write_to(out)
            continue
        for block in blocks:
            place = 0
            while place < len(block):
                place += os.write(1, block[place:])


def read_bare(pipe: io.FileIO, shapes: Shapes, empty: Callable[..., Array]) -> list[Array]:
    """All arrays, kept until the last has come, as a message's are: memory given back early would be used again at once."""
    arrays: list[Array] = []
    for shape, dtype in shapes:
        arrays.append(empty(shape, dtype))
        target = memoryview(arrays[-1].reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        place = 0
        while place < len(target):
            place += pipe.readinto(target[place:]) or 0
    return arrays


def measure(case: str, rounds: int) -> dict[str, float]:
    """Milliseconds of the three ways, and what the wire adds."""
    shapes = [(array.shape, array.dtype) for array in CASES[case]().values()]
    command = [sys.executable, __file__, case]
    times: dict[bytes, list[float]] = {PLAIN: [], BARE: [], WIRE: []}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        asking, pipe = process.stdin, process.stdout
        assert isinstance(asking, io.FileIO) and isinstance(pipe, io.FileIO)
        widen_pipe(pipe)
        reader = FrameReader(pipe)
        for k in range(rounds + 1):
            for way in sorted(times, reverse=bool(k % 2)):  # who comes first changes from round to round
                start = time.perf_counter()
                asking.write(way)
                if way == WIRE:
                    read_message(reader)
                else:
                    read_bare(pipe, shapes, np.empty if way == PLAIN else aligned_empty)
                if k:  # the first round warms up
                    times[way].append(1e3 * (time.perf_counter() - start))
        asking.close()
    plain, bare, wire = times[PLAIN], times[BARE], times[WIRE]
    return {
        "megabytes": sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in shapes) / 1e6,
        "plain_ms": statistics.median(plain),
        "bare_ms": statistics.median(bare),
        "wire_ms": statistics.median(wire),
        "over_bare": statistics.median(w / b for w, b in zip(wire, bare, strict=True)) - 1,
        "over_bare_fastest": min(wire) / min(bare) - 1,
        "over_plain": statistics.median(w / p for w, p in zip(wire, plain, strict=True)) - 1,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=25, help="runs of each way (default: %(default)s)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))


def run(arguments: argparse.Namespace) -> dict[str, object]:
    heads = ("MB", "plain ms", "bare ms", "wire ms", "over bare", "of fastest", "over plain")
    print(f"{'':12}" + "".join(f"{head:>12}" for head in heads))
    figures: dict[str, object] = {}
    for case in arguments.cases:
        figures[case] = row = measure(case, arguments.rounds)
        print(
            f"{case:12}" + "".join(f"{v:12.1%}" if k.startswith("over") else f"{v:12.1f}" for k, v in row.items()), flush=True
        )
    return figures


if __name__ == "__main__":
    child(sys.argv[1])
