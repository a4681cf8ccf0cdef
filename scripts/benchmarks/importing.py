# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled Gaussians into Blender: seconds to build the result, and as a ratio to Blender's PLY import of the same points.

Our time starts with the arrays in memory, as the server sends them, and ends with the objects there; reading the PLY file is
counted beside it. Blender's importer knows no labels and makes one mesh.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from splatonym.addon.build import build_scene, read_gaussians, remove_result
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.labels import preset
from splatonym.core.ply import read_ply, write_ply
from splatonym.core.scene import SemanticScene


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=1_000_000, help="Gaussians (default %(default)s)")
    parser.add_argument("--degree", type=int, default=0, choices=(0, 1, 2, 3), help="of the spherical harmonics")
    parser.add_argument("--classes", type=int, default=20, help="that occur (default %(default)s)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of which the median is taken (default %(default)s)")


def make_scene(count: int, degree: int, classes: int) -> SemanticScene:
    """Random Gaussians, classes mixed as fusion leaves them."""
    draw = np.random.default_rng(0)
    quats = draw.normal(size=(count, 4)).astype(np.float32)
    gaussians = GaussianArrays(
        means=draw.normal(size=(count, 3)).astype(np.float32),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        scales=draw.uniform(0.002, 0.02, (count, 3)).astype(np.float32),
        opacities=draw.uniform(0, 1, count).astype(np.float32),
        sh=draw.normal(size=(count, (degree + 1) ** 2, 3)).astype(np.float32),
        label=draw.integers(0, classes, count, dtype=np.int32),
        instance=draw.integers(0, 50, count, dtype=np.int32),
        confidence=draw.uniform(0, 1, count).astype(np.float32),
    )
    return SemanticScene("Benchmark", gaussians, preset("indoor"))


def run(args: argparse.Namespace) -> dict[str, object]:
    scene = make_scene(args.count, args.degree, args.classes)
    target = bpy.context.scene
    times: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        start = time.perf_counter()
        result = work()
        times.setdefault(name, []).append(time.perf_counter() - start)
        return result

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.ply"
        write_ply(path, scene.gaussians, strict=True)
        for _ in range(args.repeat):
            result = timed("build", lambda: build_scene(target, scene))
            timed("rebuild", lambda: build_scene(target, scene))
            timed("read_back", lambda made=result: read_gaussians(made.collection))
            remove_result(target, result.id)
            timed("ply_file", lambda: read_ply(path))
            timed("blender_ply_import", lambda: bpy.ops.wm.ply_import(filepath=str(path)))
            for item in bpy.context.selected_objects:
                bpy.data.batch_remove([item.data])
    medians = {name: round(statistics.median(values), 4) for name, values in times.items()}
    figures: dict[str, object] = {
        "gaussians": args.count,
        "sh_degree": args.degree,
        "classes": args.classes,
        "seconds": medians,
        "build_to_blender_ply_import": round(medians["build"] / medians["blender_ply_import"], 3),
        "file_and_build_to_blender_ply_import": round(
            (medians["ply_file"] + medians["build"]) / medians["blender_ply_import"], 3
        ),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(f"{args.count:,} Gaussians, degree {args.degree}, {args.classes} classes: built in {medians['build']:.3f} s")
    print(f"  again in place {medians['rebuild']:.3f} s, read back {medians['read_back']:.3f} s")
    print(f"  Blender's PLY import {medians['blender_ply_import']:.3f} s: ratio {figures['build_to_blender_ply_import']}")
    return figures
