# SPDX-License-Identifier: GPL-3.0-or-later
"""The network beside baselines, on rendered rooms with known depth and classes, from 2, 4 and 8 views.

A line for each method: means over rooms of `server/network_evaluation.py`'s figures. Columns: depth abs-rel and share within 1.25 in
the input views (all pixels that are covered) and in held-out ones (seen pixels); then of held-out views the share that is
covered, PSNR, SSIM, mIoU, pooled mIoU and accuracy on seen pixels / on all; 3D label accuracy on surfaces / of all Gaussians; Gaussians;
seconds; MiB at most.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

from splatonym.server.captures import Capture, read_capture
from splatonym.server.job import Job
from splatonym.server.network_evaluation import RoomFigures, Summary, room_figures, summary
from splatonym.server.pipeline import peak_memory_mb

from .methods import METHODS, Given, Method

INPUTS = {2: ("2", "5"), 4: ("0", "2", "5", "7"), 8: tuple(map(str, range(8)))}
COLUMNS = (
    ("depth in", "{depth_input:.4f}"), ("<1.25 in", "{within_input:.3f}"), ("depth", "{depth:.4f}"), ("<1.25", "{within:.3f}"),
    ("covered", "{covered:.2f}/{covered_all:.2f}"), ("PSNR", "{psnr:.2f}/{psnr_all:.2f}"),
    ("SSIM", "{ssim:.3f}/{ssim_all:.3f}"), ("mIoU", "{miou:.3f}/{miou_all:.3f}"),
    ("pooled", "{pooled_miou:.3f}/{pooled_miou_all:.3f}"), ("acc.", "{accuracy:.3f}/{accuracy_all:.3f}"),
    ("3D acc.", "{label_accuracy_on_surface:.3f}/{label_accuracy_all:.3f}"), ("Gaussians", "{gaussians:.0f}"),
    ("s", "{seconds:.1f}"), ("MiB", "{megabytes:.0f}"),
)  # fmt: skip
WIDTHS = (9, 9, 7, 6, 10, 12, 12, 12, 12, 12, 12, 10, 6, 6)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="rooms", help="trained weights by name, or a .safetensors file")
    parser.add_argument("--inputs", type=int, nargs="+", default=list(INPUTS), choices=list(INPUTS), help="numbers of views")
    parser.add_argument("--rooms", type=int, dest="most", help="judge only the first so many rooms")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    parser.add_argument("--methods", nargs="+", help="only those whose names begin so")


def run(folders: list[Path], args: argparse.Namespace) -> dict[str, object]:
    """Judge and print; returns everything as JSON."""
    chosen = [m for m in METHODS if not args.methods or any(m.name.startswith(word) for word in args.methods)]
    captures = [read_capture(folder) for folder in folders[: args.most]]
    results, rows = [], []
    for count in args.inputs:
        print(f"\n{len(captures)} rooms from {count} views (frames {', '.join(INPUTS[count])}); seen pixels/all pixels")
        print(line("method", [title for title, _ in COLUMNS]), flush=True)
        for method in chosen:
            rooms = [judge(method, capture, INPUTS[count], args.model) for capture in captures]
            mean = summary(rooms)
            rows.append((count, method.name, cells(mean)))
            print(line(method.name, rows[-1][2]), flush=True)
            results.append({"inputs": count, "method": method.name, "mean": mean.as_json(), "rooms": [*map(as_json, rooms)]})
    if args.markdown:
        args.markdown.write_text("\n".join(markdown(rows)) + "\n", encoding="utf-8")
    return {"model": args.model, "frames": {str(count): INPUTS[count] for count in args.inputs}, "results": results}


def judge(method: Method, capture: Capture, inputs: tuple[str, ...], model: str) -> RoomFigures:
    """One method's figures of one room."""
    job = Job()
    views = capture.pick(inputs).views(job)
    measured = forget_peak()
    start = time.perf_counter()
    scene, _ = method.scene(capture.path.parent.name, Given(views, model, job))
    seconds = time.perf_counter() - start
    return room_figures(scene, capture, views, seconds, peak_memory_mb() if measured else None, job)


def forget_peak() -> bool:
    """Let the system count this process's most memory anew; False where it cannot (only Linux can)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def cells(mean: Summary) -> list[str]:
    return [form.format(**vars(mean)).replace("nan", "-") for _, form in COLUMNS]


def line(name: str, values: list[str]) -> str:
    return f"{name:<30}" + "".join(f"{value:>{width + 1}}" for value, width in zip(values, WIDTHS, strict=True))


def markdown(rows: list[tuple[int, str, list[str]]]) -> Iterator[str]:
    yield "| views | method | " + " | ".join(title for title, _ in COLUMNS) + " |"
    yield "|---|---" + "|---" * len(COLUMNS) + "|"
    for count, name, values in rows:
        yield f"| {count} | {name} | " + " | ".join(values) + " |"


def as_json(room: RoomFigures) -> dict[str, object]:
    def finite(values: dict[str, float]) -> dict[str, float | None]:
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    def group(found: object) -> object:
        return found and {"frames": found.frames, "all": found.all.as_json(), "seen": found.seen and found.seen.as_json()}

    return {
        "room": room.room, "held_out": group(room.held_out), "inputs": group(room.inputs), "labels": finite(vars(room.labels)),
        "gaussians": room.gaussians, "seconds": room.seconds, "megabytes": room.megabytes,
    }  # fmt: skip
