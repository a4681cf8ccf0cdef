# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures to named Gaussians: seconds of each stage and peak memory by size and number of views, from pictures alone and with depth.

Views of an analytic room: a box with checkered walls, seen from an arc. Each case runs in a process of its own, so that peaks are its own;
the first run of a case is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

CASES = ((4, 160), (4, 256), (8, 256), (4, 512), (8, 512))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="rooms", help="trained weights, by name or path")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--case", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, object]:
    if args.case:
        return one(args)
    rows = []
    print(f"{'views':>5} {'pixels':>9} {'depth':>6} {'s':>6} {'Gaussians':>10} {'MB':>6}  stages, s")
    for views, side in CASES:
        for depth in (False, True):
            case = json.dumps({"views": views, "side": side, "depth": depth})
            code = (
                f"import sys; sys.path.insert(0, {sys.path[0]!r}); from benchmarks import network as n; n.alone(sys.argv[1:])"
            )
            words = [sys.executable, "-c", code, "--model", args.model, "--repeats", str(args.repeats), "--case", case]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            row = json.loads(done.stdout.splitlines()[-1])
            rows.append(row)
            stages = ", ".join(f"{name} {value:.2f}" for name, value in row["stages"].items())
            print(
                f"{views:5} {side:>4}x{side:<4} {'given' if depth else 'none':>6} {row['seconds']:6.2f} {row['gaussians']:10,} "
                f"{row['peak_memory_mb']:6.0f}  {stages}",
                flush=True,
            )
    return {"rows": rows}


def alone(words: list[str]) -> None:
    """One case, its figures as JSON on the last line."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    print(json.dumps(one(parser.parse_args(words))))


def one(args: argparse.Namespace) -> dict[str, object]:
    from splatonym.core.labels import LabelMap
    from splatonym.server.job import Job
    from splatonym.server.pipeline import PredictRequest, peak_memory_mb, predict

    case = json.loads(args.case)
    views = room_views(case["views"], case["side"])
    request = PredictRequest(
        "room", views, LabelMap(()), {}, "network", "network", {"model": args.model, "use_depth": case["depth"]}
    )
    seconds, stages, count = [], [], 0
    for _ in range(args.repeats + 1):
        job, start = Job(), time.perf_counter()
        count = len(predict(request, job).scene.gaussians)
        seconds.append(time.perf_counter() - start)
        stages.append(dict(job.timings))
    return {
        **case,
        "seconds": statistics.median(seconds[1:]),
        "stages": {name: round(statistics.median(s[name] for s in stages[1:]), 3) for name in stages[1]},
        "gaussians": count,
        "peak_memory_mb": peak_memory_mb(),
    }


def room_views(count: int, side: int) -> list:
    """Views of a box room of 5 x 4 x 2.6 m from an arc, with exact depth."""
    import numpy as np
    from splatonym.core.cameras import Camera
    from splatonym.core.views import View

    K = np.array([[0.8 * side, 0, side / 2], [0, 0.8 * side, side / 2], [0, 0, 1]])
    column, row = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    rays = np.stack([(column - K[0, 2]) / K[0, 0], (row - K[1, 2]) / K[1, 1], np.ones_like(row)], -1)
    views = []
    for angle in np.linspace(-0.6, 0.6, count):
        eye, target = np.array([1.6 * np.sin(angle), -1.6 * np.cos(angle), 1.5]), np.array([0.0, 0.6, 1.0])
        z = (target - eye) / np.linalg.norm(target - eye)
        x = np.cross(z, [0, 0, 1.0])
        x /= np.linalg.norm(x)
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = np.stack([x, np.cross(z, x), z], 1), eye
        world = rays @ T[:3, :3].T
        low, high = np.array([-2.5, -2.0, 0.0]), np.array([2.5, 2.0, 2.6])
        with np.errstate(divide="ignore"):
            depth = np.where(world > 0, (high - eye) / world, (low - eye) / world).min(-1)
        place = np.floor((eye + world * depth[..., None]) * 4 + 1e-6).astype(int)
        shade = np.where(place.sum(-1) % 2, 200, 110)[..., None] * [1.0, 0.9, 0.75]
        views.append(View(f"v{len(views)}", Camera(side, side, K, T), shade.astype(np.uint8), depth.astype(np.float32), None))
    return views
