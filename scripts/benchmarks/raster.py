# SPDX-License-Identifier: GPL-3.0-or-later
"""A rasterizer beside the torch reference and, if there is one, beside another implementation on the very same arrays and camera.

Scenes: a room (flat discs on walls and boxes, a surface in each pixel) and fog (many faint layers). Operations, in milliseconds:
- prepare: check the Gaussians, project, sort and bin them for one camera.
- forward C: the next frame of many cameras (nothing is checked again), and its picture of C channels, depth counted as one.
- top-8, register 16 (channels), ids (one id for each 60 x 60 pixels): on a frame that is prepared.
- raster C, backward C: the differentiable picture, and from its gradients to those of all tensors, projection included.
Ours and theirs take turns, so that what else the machine does weighs on both alike; a ratio is the median over neighbouring runs of
theirs / ours, more than 1 where ours is the faster. Their backward ends at the splats: they have no projection's.
The start and the memory are measured in processes of their own.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin take the cores from whoever's turn it is

import numpy as np
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.gaussians import GaussianArrays
from splatonym.server.job import Job
from splatonym.server.rasterize.choice import choose, physical_cores
from splatonym.server.rasterize.contract import Backend, RasterSettings

Call = Callable[[], object]
SETTINGS = RasterSettings()


def fog(n: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Evenly in a frustum from 2 to 8 units, faint, turned anyhow."""
    z = rng.uniform(2**3, 8**3, n) ** (1 / 3)
    means = np.column_stack([rng.uniform(-0.62, 0.62, n) * z, rng.uniform(-0.46, 0.46, n) * z, z])
    scales = 0.018 * (1e5 / n) ** 0.5 * np.exp(rng.normal(0, 0.5, (n, 3)))
    return means, rng.normal(size=(n, 4)), scales, rng.uniform(0.02, 0.5, n)


def room(n: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Flat discs: three fifths on the walls of 8 x 5 x 8 units, the others on twelve boxes."""
    middles = np.vstack([[0.0, 0.0, 0.0], rng.uniform([-3, 0.5, -1.5], [3, 2.2, 3.2], (12, 3))])
    halves = np.vstack([[4.0, 2.5, 4.0], rng.uniform(0.2, 0.7, (12, 3))])
    box = np.where(rng.random(n) < 0.6, 0, rng.integers(1, 13, n))
    areas = 1 / halves[box]  # of a box's faces across x, y and z, in proportion
    axis = (rng.random((n, 1)) * areas.sum(1, keepdims=True) > areas.cumsum(1)).sum(1)
    places, each = rng.uniform(-1, 1, (n, 3)), np.arange(n)
    places[each, axis] = np.sign(places[each, axis])
    means = middles[box] + places * halves[box] + rng.normal(0, 0.006, (n, 3))
    scales = 0.0525 * (1e5 / n) ** 0.5 * np.exp(rng.normal(0, 0.4, (n, 3)))
    scales[each, axis] *= 0.15
    quats = rng.normal([1, 0, 0, 0], 0.08, (n, 4))
    return means, quats, scales, rng.beta(2, 1.3, n).clip(0.05, 0.99)


def scene(kind: str, n: int, size: tuple[int, int]) -> tuple[GaussianArrays, Camera]:
    rng = np.random.default_rng(0)
    means, quats, scales, opacities = (room if kind == "room" else fog)(n, rng)
    quats = quats / np.linalg.norm(quats, axis=1, keepdims=True)
    arrays = (np.ascontiguousarray(a, np.float32) for a in (means, quats, scales, opacities, rng.normal(size=(n, 1, 3))))
    pose = np.eye(4)
    pose[2, 3] = -3.0 if kind == "room" else 0.0
    focal = 0.5 * size[0] / np.tan(np.radians(30))
    return GaussianArrays(*arrays), Camera(*size, intrinsics(focal, focal, size[0] / 2, size[1] / 2), pose)


def backend_of(name: str, threads: int) -> Backend:
    if name == "cpu":
        from splatonym.server.rasterize.cpu import Cpu

        return Cpu(threads=threads)
    return choose(name)


def questions(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """An image of 16 channels, and ids from 1."""
    rows, columns = np.mgrid[: camera.height, : camera.width] // 60
    return np.random.default_rng(1).random((*rows.shape, 16), np.float32), (rows * 40 + columns + 1).astype(np.int32)


def ours(
    backend: Backend, g: GaussianArrays, camera: Camera, features: dict[int, np.ndarray], backward: bool
) -> dict[str, Call]:
    image, ids = questions(camera)
    frames = backend.prepare_all(g, [camera] * 100_000, SETTINGS, Job())
    frame = backend.prepare(g, camera, SETTINGS, Job())
    calls: dict[str, Call] = {"prepare": lambda: backend.prepare(g, camera, SETTINGS, Job())}
    for c, values in features.items():
        calls[f"forward {c}"] = lambda values=values: next(frames).render(values)
    calls |= {
        "top-8": lambda: frame.topk(8),
        "register 16": lambda: frame.register(image),
        "ids": lambda: frame.register_ids(ids),
    }
    if backward:
        for c, values in features.items():
            calls |= differentiable(backend, g, camera, values, c)
    return calls


def differentiable(backend: Backend, g: GaussianArrays, camera: Camera, values: np.ndarray, c: int) -> dict[str, Call]:
    import torch

    arrays = (g.means, g.quats, g.scales, g.opacities, values)
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    made: list[torch.Tensor] = []

    def raster() -> None:
        out = backend.rasterize(*tensors, cameras=[camera])
        made[:] = out.features, out.depth, out.alpha

    def backward() -> None:
        torch.autograd.grad(made, tensors, [torch.ones_like(part) for part in made], retain_graph=True)

    return {f"raster {c}": raster, f"backward {c}": backward}


def theirs(module: Any, g: GaussianArrays, camera: Camera, features: dict[int, np.ndarray]) -> dict[str, Call]:
    """The prototype's nearest equivalents; what it has not, or lacks a package for, is left out."""
    arrays = {"means": g.means, "quats": g.quats, "scales": g.scales, "opac": g.opacities}
    view = {"W": camera.width, "H": camera.height, "K": camera.K, "viewmat": camera.T_camera_world}
    image, ids = questions(camera)
    work, frame = module.Work(), module.prepare(arrays, view)
    calls: dict[str, Call] = {"prepare": lambda: module.prepare(arrays, view, ws=work)}
    for c, values in features.items():
        picture = np.array(module.render(arrays, values, view, frame=frame)[0])
        gathered, ones = np.empty((frame.n, c), np.float32), np.ones_like(picture)
        module._gather_feat(values, frame.gid, frame.depth, gathered, True)
        calls[f"forward {c}"] = lambda values=values: module.render(arrays, values, view, ws=work)
        calls[f"backward {c}"] = lambda gathered=gathered, picture=picture, ones=ones: module.blend_backward(
            frame, gathered, picture, ones
        )
    calls["top-8"] = lambda: module.topk(frame, 8, ws=work)
    calls["register 16"] = lambda: module.register(frame, image, len(g))
    try:
        import scipy.sparse  # noqa: F401 - it makes a matrix of what it found
    except ImportError:
        return calls
    return calls | {"ids": lambda: module.register_labels(frame, ids - 1, len(g), int(ids.max()))}


def milliseconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def take_turns(own: dict[str, Call], other: dict[str, Call], repeats: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Each operation's medians, and the median of theirs / ours."""
    for name, call in own.items():
        row = {"first_ms": milliseconds(call)}
        beside = other.get(name)
        if beside:
            beside()
        times = [(milliseconds(call), milliseconds(beside) if beside else 0.0) for _ in range(repeats)]
        row["ms"] = statistics.median(t for t, _ in times)
        if beside:
            row["theirs_ms"] = statistics.median(t for _, t in times)
            row["ratio"] = statistics.median(b / a for a, b in times)
        yield name, row


def reference_forward(g: GaussianArrays, camera: Camera, features: np.ndarray) -> float:
    """The torch reference's forward, once."""
    frames = backend_of("reference", 1).prepare_all(g, [camera], SETTINGS, Job())
    return milliseconds(lambda: next(frames).render(features))


def measure(case: tuple[str, int, tuple[int, int], int], arguments: argparse.Namespace, prototype: Any) -> dict[str, Any]:
    kind, n, size, threads = case
    g, camera = scene(kind, n, size)
    features = {c: np.random.default_rng(c).random((n, c - 1), np.float32) for c in arguments.channels}
    backend = backend_of(arguments.backend, threads)
    backend.ready(Job())
    other: dict[str, Call] = {}
    if prototype:
        import numba

        numba.set_num_threads(threads)
        other = theirs(prototype, g, camera, features)
    rows = dict(take_turns(ours(backend, g, camera, features, arguments.backward), other, arguments.repeats))
    first = f"forward {arguments.channels[0]}"
    if n <= arguments.reference_most and arguments.backend != "reference":
        rows[first]["reference_ms"] = reference_forward(g, camera, features[arguments.channels[0]])
        rows[first]["reference_ratio"] = rows[first]["reference_ms"] / rows[first]["ms"]
    print(f"{kind} {n:,} Gaussians, {size[0]}x{size[1]}, {threads} threads")
    print(f"  {'':18}" + "".join(f"{name:>13}" for name in rows))
    for key, title in (
        ("ms", "ours, ms"),
        ("theirs_ms", "theirs, ms"),
        ("ratio", "theirs / ours"),
        ("reference_ms", "reference, ms"),
        ("reference_ratio", "reference / ours"),
    ):
        if any(key in row for row in rows.values()):
            print(f"  {title:18}" + "".join(f"{row[key]:13.2f}" if key in row else f"{'':13}" for row in rows.values()))
    for c in arguments.channels if arguments.backward else ():
        over = rows[f"backward {c}"]["backward_over_forward"] = rows[f"backward {c}"]["ms"] / rows[f"raster {c}"]["ms"]
        print(f"  backward {c} / raster {c}: {over:.2f}")
    over = rows["ids"]["over_forward"] = rows["ids"]["ms"] / rows[first]["ms"]
    print(f"  ids / {first}: {over:.2f}", flush=True)
    return {"scene": kind, "gaussians": n, "size": list(size), "threads": threads, "operations": rows}


START = """
import json, time
seconds, last = {}, time.perf_counter()
def lap(name):
    global last
    seconds[name], last = time.perf_counter() - last, time.perf_counter()
import numpy; lap("numpy")
import torch; lap("torch")
import numba; lap("numba")
import raster
backend = raster.backend_of(name, threads); lap("ours")
g, camera = raster.scene("room", 100, (64, 48)); lap("scene")
backend.prepare(g, camera, raster.SETTINGS, raster.Job()).render(); lap("first frame")
print(json.dumps(seconds))
"""
MEMORY = """
import json, raster
from splatonym.server.pipeline import peak_memory_mb
backend = raster.backend_of(name, threads)
g, camera = raster.scene(*case)
image, before = raster.questions(camera)[0], peak_memory_mb()
frame = backend.prepare(g, camera, raster.SETTINGS, raster.Job())
frame.render(), frame.topk(8), frame.register(image)
print(json.dumps({"before_mb": before, "peak_mb": peak_memory_mb()}))
"""


def alone(program: str, **values: object) -> dict[str, float]:
    """What a program prints that runs in a process of its own, given these values."""
    given = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + "".join(
        f"{k} = {v!r}\n" for k, v in values.items()
    )
    done = subprocess.run([sys.executable, "-c", given + program], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout))


def sizes(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", default="cpu", help="what is measured (default: %(default)s)")
    parser.add_argument("--prototype", type=Path, metavar="PATH", help="folder with a raster.py to measure beside it")
    parser.add_argument("--scenes", nargs="+", choices=["room", "fog"], default=["room", "fog"])
    parser.add_argument("--gaussians", nargs="+", type=int, default=[100_000, 500_000, 1_000_000])
    parser.add_argument("--sizes", nargs="+", type=sizes, default=[(640, 480), (1280, 720)], metavar="WxH")
    parser.add_argument("--channels", nargs="+", type=int, default=[4, 16, 32], help="depth included")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, physical_cores()])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--no-backward", dest="backward", action="store_false")
    parser.add_argument(
        "--reference-most", type=int, default=1_000_000, metavar="N", help="the reference draws no more Gaussians"
    )


def run(arguments: argparse.Namespace) -> dict[str, object]:
    # First, for Linux counts what this process held among its children's peak memory.
    chosen: dict[str, object] = {"name": arguments.backend, "threads": max(arguments.threads)}
    memory = alone(MEMORY, **chosen, case=(arguments.scenes[0], max(arguments.gaussians), arguments.sizes[-1]))
    alone(START, **chosen)  # fills what caches there are
    start = alone(START, **chosen)
    print("a start with warm caches, seconds: " + ", ".join(f"{name} {value:.2f}" for name, value in start.items()))
    print(f"peak memory of the largest case: {memory['peak_mb']:.0f} MB, {memory['before_mb']:.0f} MB before the first frame")
    prototype = None
    if arguments.prototype:
        sys.path.insert(0, str(arguments.prototype))
        prototype = importlib.import_module("raster")
    cases = itertools.product(arguments.scenes, arguments.gaussians, arguments.sizes, sorted(set(arguments.threads)))
    figures = [measure(case, arguments, prototype) for case in cases]
    return {"cases": figures, "start": start, "memory": memory}
