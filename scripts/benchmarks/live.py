# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view: pictures a second of a moving view.

"server": a client asks a server process for one picture after another, as the live view does without its window; milliseconds from the
question to the answer, and of these the server's own. "window": in a real Blender (../shared/tools/blender-gui.sh, skipped where it is not
set up) the mouse orbits the view; redraws and new pictures a second, and how long a tick of the timer and our part of a redraw hold the
main thread. The first row there is Blender alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.gaussians import GaussianArrays, sh_from_rgb
from splatonym.core.labels import preset
from splatonym.core.protocol import PROTOCOL_VERSION, SHOWS, LookFields, pack_look, pack_scene
from splatonym.core.scene import SemanticScene
from splatonym.core.wire.client import Client

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT.parent / "shared" / "tools" / "blender-gui.sh"
TOOL_ROOT = Path(os.environ.get("SPLATONYM_BLENDER_ROOT", Path.home() / ".cache" / "splatonym" / "blender"))
FRAME = (2, 2)
"""How much larger than the region a window is that shows nothing else."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=250_000, help="Gaussians (default %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 360), metavar=("W", "H"), help="of the region, pixels")
    parser.add_argument("--frames", type=int, default=60, help="pictures that are asked for (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=6, help="of each orbit in the window (default %(default)s)")
    parser.add_argument("--no-window", action="store_true", help="leave the window out")


def room(count: int) -> SemanticScene:
    """Flat Gaussians on the inside of a box of 6 x 4 x 3."""
    rng = np.random.default_rng(0)
    half, face = np.array([3, 2, 1.5]), rng.integers(0, 6, count)
    points = rng.uniform(-1, 1, (count, 3))
    points[np.arange(count), face // 2] = np.where(face % 2, 1, -1)
    size = 0.7 * math.sqrt(108 / count)
    scales = np.full((count, 3), size)
    scales[np.arange(count), face // 2] = 0.05 * size
    gaussians = GaussianArrays(
        (points * half).astype(np.float32),
        np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        scales.astype(np.float32),
        np.full(count, 0.9, np.float32),
        sh_from_rgb(rng.random((count, 3))),
        face.astype(np.int32),
        face.astype(np.int32) + 1,
        rng.random(count).astype(np.float32),
    )
    return SemanticScene("Room", gaussians, preset("indoor"))


def camera(turn: float, width: int, height: int) -> Camera:
    """Level, near the room's middle, turned about the vertical."""
    c, s = math.cos(turn), math.sin(turn)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[s, 0, c], [-c, 0, s], [0, -1, 0]])
    pose[:3, 3] = (-2 * c, -1.2 * s, 0)
    return Camera(width, height, intrinsics(0.8 * width, 0.8 * width, width / 2, height / 2), pose)


def server_part(args: argparse.Namespace) -> dict[str, object]:
    """Full size and all Gaussians, then as the live view asks where that is too slow."""
    rows: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        words = ["--scenes", folder, "--beside-blender"]
        with Client(sys.executable, ROOT, log_path=Path(folder) / "log", arguments=words) as client:
            client.hello(PROTOCOL_VERSION)
            scene = room(args.count)
            fields, arrays = pack_scene(scene)
            number = client.submit("put", {"scene": fields}, arrays).result()[0]["id"]
            scores = np.random.default_rng(0).random(args.count).astype(np.float32)
            for show in SHOWS:
                for scale, every in ((1.0, 1), (0.5, 2)):
                    width, height = (round(scale * side) for side in args.size)
                    there, own = [], []
                    for frame in range(-3, args.frames):
                        asked = LookFields(number, camera(0.05 * frame, width, height), show, every=every)
                        extra = {"scores": scores} if show == "ANSWER" and frame == -3 else {}
                        start = time.perf_counter()
                        data, _ = client.submit("look", pack_look(asked), extra).result()
                        if frame >= 0:
                            there.append(time.perf_counter() - start)
                            own.append(data["seconds"])
                    name = f"{show} {width}x{height}" + (f", every {every}" if every > 1 else "")
                    rows[name] = row = {
                        "milliseconds": round(1000 * statistics.median(there), 1),
                        "server_milliseconds": round(1000 * statistics.median(own), 1),
                        "pictures_per_second": round(len(there) / sum(there), 1),
                    }
                    print(f"  {name:32} {row['milliseconds']:7.1f} ms {row['pictures_per_second']:7.1f} a second", flush=True)
    return rows


def window_part(args: argparse.Namespace) -> dict[str, object]:
    """tests/gui/live_speed.py in a window whose 3D viewport has the asked size."""
    if not (TOOL.exists() and (TOOL_ROOT / "stamp").exists()):
        print(f"  no window: run {TOOL} setup {TOOL_ROOT}")
        return {}
    with tempfile.TemporaryDirectory() as folder:
        python = Path(os.path.realpath(sys.executable)).parents[1]
        environment = {
            **os.environ,
            "BGUI_USER": str(Path(folder) / "user"),
            "BGUI_BIND": f"{ROOT}:{python}:{folder}",
            "BGUI_SIZE": f"{args.size[0] + FRAME[0]}x{args.size[1] + FRAME[1]}",
            "SPLATONYM_LIVE": json.dumps({"count": args.count, "seconds": args.seconds}),
        }
        script = ROOT / "tests" / "gui" / "live_speed.py"
        command = [str(TOOL), "gui", str(TOOL_ROOT), str(script), str(Path(folder) / "end.png"), "--factory-startup"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    told = [line.removeprefix("FIGURES ") for line in done.stdout.splitlines() if line.startswith("FIGURES ")]
    if done.returncode or not told:
        raise RuntimeError(f"The window ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    figures: dict[str, object] = json.loads(told[0])
    print(
        f"  {figures['gaussians']:,} Gaussians, region {figures['region']}, Blender {figures['blender']}, {figures['graphics']}"
    )
    for orbit in figures["orbits"]:  # type: ignore[attr-defined]
        print(
            f"  {orbit['show']:20} {orbit['redraws_per_second']:6.1f} redraws {orbit['pictures_per_second']:6.1f} pictures a second;"
            f" tick {orbit['tick_ms'].get('longest', 0)} ms, drawing {orbit['draw_ms'].get('longest', 0)} ms at most",
            flush=True,
        )
    return figures


def run(args: argparse.Namespace) -> dict[str, object]:
    print(f"the server alone, {args.count:,} Gaussians:")
    figures: dict[str, object] = {"gaussians": args.count, "server": server_part(args)}
    if not args.no_window:
        print("in a window:")
        figures["window"] = window_part(args)
    return figures
