# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipe beside a bare pipe: what frames and their checks cost over moving the same bytes.

A child process sends about 100 MB on request in three ways, through the same pipe:
- plain: all bytes as one block, os.write at one end and readinto of one np.empty at the other;
- tuned: the same, but into memory that begins with a page, as the wire does it (see framing.aligned_block);
- wire: one message, framed, checked, every float looked at.
The overhead is the median of wire/plain over neighbouring runs, so that what else the machine does weighs on both alike. That
over the tuned way is the price of the checks alone.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import numpy.typing as npt
from splatonym.core.wire.client import widen_pipe
from splatonym.core.wire.framing import Array, FrameReader, aligned_block
from splatonym.core.wire.messages import Result, pack, read_message

PLAIN, TUNED, WIRE = b"p", b"t", b"w"


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
    block = memoryview(np.concatenate([array.reshape(-1).view(np.uint8) for array in arrays.values()]))  # type: ignore[arg-type]
    message = Result(1, {}, arrays)
    out = io.FileIO(1, "wb", closefd=False)
    while asked := os.read(0, 1):
        if asked == WIRE:
            pack(message).write_to(out)
            continue
        place = 0
        while place < len(block):
            place += os.write(1, block[place:])


def read_bare(pipe: io.FileIO, memory: npt.NDArray[np.uint8]) -> None:
    target = memoryview(memory)  # type: ignore[arg-type]
    place = 0
    while place < len(target):
        place += pipe.readinto(target[place:]) or 0


def measure(case: str, rounds: int) -> dict[str, float]:
    """Milliseconds of the three ways, and what the wire adds."""
    command = [sys.executable, __file__, case]
    total = sum(array.nbytes for array in CASES[case]().values())
    times: dict[bytes, list[float]] = {PLAIN: [], TUNED: [], WIRE: []}
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
                    read_bare(pipe, aligned_block(total) if way == TUNED else np.empty(total, np.uint8))
                if k:  # the first round warms up
                    times[way].append(1e3 * (time.perf_counter() - start))
        asking.close()
    plain, tuned, wire = times[PLAIN], times[TUNED], times[WIRE]
    return {
        "megabytes": total / 1e6,
        "plain_ms": statistics.median(plain),
        "tuned_ms": statistics.median(tuned),
        "wire_ms": statistics.median(wire),
        "over_plain": statistics.median(w / p for w, p in zip(wire, plain, strict=True)) - 1,
        "over_tuned": statistics.median(w / t for w, t in zip(wire, tuned, strict=True)) - 1,
        "over_tuned_fastest": min(wire) / min(tuned) - 1,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=25, help="runs of each way (default: %(default)s)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))


def run(arguments: argparse.Namespace) -> dict[str, object]:
    heads = ("MB", "plain ms", "tuned ms", "wire ms", "over plain", "over tuned", "of fastest")
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
