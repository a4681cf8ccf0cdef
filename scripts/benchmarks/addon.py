# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the add-on holds Blender's main thread: the longest tick of each job, driven as a window's timer drives it.

In a window a tick comes every 50 ms and holds the window while it lasts; here ticks follow each other as soon as the work has something to
do. The rooms' own renders are left to a second Blender, as in a window. `live` has the live view's pictures a second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import bpy
import numpy as np
import splatonym
from environments import ROOT, python_of
from splatonym.addon import headless, jobs, labelling, planning, transfer
from splatonym.addon.build import build_steps, find_results, read_steps, remove_result
from splatonym.addon.capture import CaptureSettings, capture_in_steps, choose_cameras
from splatonym.addon.preferences import INTERPRETER_VARIABLE

from .importing import make_scene

ROOM = ROOT / "addon" / "demo" / "room.blend"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=1_000_000, help="Gaussians imported and read (default %(default)s)")
    parser.add_argument("--faces", type=int, default=100_000, help="of the mesh that is labelled (default %(default)s)")
    parser.add_argument("--resolution", type=int, default=256, help="of the demo room's views (default %(default)s)")


class Ticks:
    """Runs jobs tick by tick and keeps how long each tick held the thread."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[str, float]] = {}

    def run(self, name: str, work: jobs.Work) -> object:
        held, outcome, begun = [], None, time.perf_counter()
        longest = (0.0, "")
        while True:
            start = time.perf_counter()
            try:
                step = jobs.advance(work)
            except StopIteration as end:
                outcome, step = end.value, jobs.Step("End", 1.0)
            held.append(time.perf_counter() - start)
            longest = max(longest, (held[-1], f"{step.stage} {step.text}".strip()))
            if step.stage == "End":
                break
            if step.waiting:
                time.sleep(0.005)
        self.keep(name, held, time.perf_counter() - begun, f", up to '{longest[1]}'")
        return outcome

    def call(self, name: str, work: Callable[[], object]) -> None:
        """What a button does at once, in one tick."""
        start = time.perf_counter()
        work()
        self.keep(name, [time.perf_counter() - start], time.perf_counter() - start)

    def keep(self, name: str, held: list[float], whole: float, where: str = "") -> None:
        figures = {
            "longest_ms": 1e3 * max(held),
            "median_ms": 1e3 * statistics.median(held),
            "ticks": len(held),
            "seconds": whole,
        }
        self.figures[name] = {key: round(value, 3) for key, value in figures.items()}
        print(f"{name:<34} longest tick {1e3 * max(held):6.1f} ms of {len(held):5}, {whole:6.2f} s in all{where}", flush=True)


def run(args: argparse.Namespace) -> dict[str, object]:
    os.environ[INTERPRETER_VARIABLE] = str(python_of("server"))
    ticks = Ticks()
    splatonym.register()
    try:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        points(ticks, args)
        mesh(ticks, args)
        headless.open_blend(ROOM)
        room(ticks, args)
    finally:
        splatonym.unregister()
    return {"gaussians": args.count, "faces": args.faces, "resolution": args.resolution, "ticks": ticks.figures}


def points(ticks: Ticks, args: argparse.Namespace) -> None:
    """A large result comes in, again, and goes out."""
    scene, target = make_scene(args.count, 0, 20), bpy.context.scene
    result = ticks.run("import", build_steps(target, scene))
    ticks.run("import again", build_steps(target, scene))
    ticks.run("read", read_steps(result.collection))
    ticks.call("list results (a panel's drawing)", lambda: find_results(target))
    remove_result(target, result.id)


def mesh(ticks: Ticks, args: argparse.Namespace) -> None:
    """Labels onto a bumpy floor, by a third of the Gaussians that lie on it."""
    cuts, draw = int(args.faces**0.5), np.random.default_rng(0)
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=cuts, y_subdivisions=cuts, size=2)
    scene = make_scene(args.count // 3, 0, 20)
    scene.gaussians.means[:, :2] = draw.uniform(-1, 1, (len(scene.gaussians), 2))
    scene.gaussians.means[:, 2] = draw.normal(0, 0.002, len(scene.gaussians))
    squares = np.floor((scene.gaussians.means[:, :2] + 1) * 5).astype(np.int32)  # each of a class, as things lie on a floor
    scene.gaussians.label[:] = (squares[:, 0] + 7 * squares[:, 1]) % 20
    result = jobs.run_to_end(build_steps(bpy.context.scene, scene))
    options = transfer.TransferOptions(selected=False, vertex_groups=True, materials=True)
    ticks.run("labels to meshes", transfer.labels_to_meshes(bpy.context, result, options))
    ticks.run("what is this", transfer.what_is(bpy.context, result, selected=False))
    remove_result(bpy.context.scene, result.id)


def room(ticks: Ticks, args: argparse.Namespace) -> None:
    """The work of a first minute on the demo room."""
    context = bpy.context
    ticks.run("plan: walk", planning.plan_walk(context, planning.WalkOptions(count=10)))
    ticks.run("plan: cover", planning.plan_cover(context, planning.CoverOptions(most=10)))
    planning.clear_plan(context.scene, cameras=True, coverage=True)
    options = labelling.LabelOptions(
        camera_source="ALL", resolution=args.resolution, samples=4, label_source="text", names="chair, wall, lamp"
    )
    shots = choose_cameras(context, "ALL")
    settings = CaptureSettings(resolution=args.resolution, samples=4)
    captured = ticks.run("capture", capture_in_steps(context, shots, settings, apart=True))
    outcome = ticks.run("predict", labelling.predict_steps(captured, options))
    ticks.run("import the room", build_steps(context.scene, outcome.scene, result_id=outcome.result_id))
    from splatonym.addon.asking import ask_result, relabel_result

    result = find_results(context.scene)[-1]
    ticks.run("ask", ask_result(context, result, "chair", "", "object", None, True))
    ticks.run("relabel", relabel_result(context, result, "seat = chair, wall, lamp"))
    ticks.run("rename objects", transfer.preview_names(context, find_results(context.scene)[-1]))
