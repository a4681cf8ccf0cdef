# SPDX-License-Identifier: GPL-3.0-or-later
"""The network on captures of other kinds, from pictures alone: frames spread evenly go in, the others are held out.

Depth, where a capture has it, is only compared with, in the scale that the poses have: in the inputs' views, where the result
covers them, and there on those pixels that another input sees too (elsewhere depth from pictures is a guess). PSNR and SSIM are of
held-out frames, on all pixels and (with depth) on those that an input saw.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from splatonym.core import metrics
from splatonym.core.scene import SemanticScene
from splatonym.core.views import View
from splatonym.core.visibility import seen_mask
from splatonym.server.captures import Capture, read_capture
from splatonym.server.evaluation import Group, evaluate
from splatonym.server.job import Job
from splatonym.server.rendering import render_scene

from .methods import METHODS, Given

MOST_HELD_OUT = 12
SHEET_WIDTH = 240
"""Pixels of a picture on a sheet."""
SHEET_COLUMNS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("captures", type=Path, nargs="+")
    parser.add_argument("--model", default="rooms", help="trained weights by name, or a .safetensors file")
    parser.add_argument("--inputs", type=int, nargs="+", default=[4, 8], help="numbers of views")
    parser.add_argument("--method", default=METHODS[0].name, choices=[method.name for method in METHODS])
    parser.add_argument("--pictures", type=Path, help="folder for sheets of pictures")


def run(args: argparse.Namespace) -> dict[str, object]:
    method = next(method for method in METHODS if method.name == args.method)
    print(f"{method.name}; held-out PSNR and SSIM on seen pixels/all pixels")
    depth = f"{'depth in':>9}{'<1.25':>7}{'shared':>8}{'depth':>8}{'<1.25':>7}"
    print(f"{'capture':<20}{'views':>6}{'held out':>9}{depth}{'PSNR':>13}{'SSIM':>13}{'Gaussians':>10}{'s':>7}")
    results = []
    for path in args.captures:
        whole = read_capture(path)
        for count in args.inputs:
            if count >= len(whole.frames):
                print(f"{path.name:<20}{count:>6}  has only {len(whole.frames)} frames, left out")
                continue
            places = evenly(len(whole.frames), count)
            capture = whole.pick([*map(str, places), *map(str, held_out(len(whole.frames), places))])
            job = Job()
            views = [capture.view(frame) for frame in capture.frames[:count]]
            start = time.perf_counter()
            scene, made = method.scene(path.name, Given(views, args.model, job))
            seconds = time.perf_counter() - start
            groups = {group.title: group for group in evaluate(scene, capture, views, job).groups}
            shared = Shared.of(scene, views, job)
            print(f"{path.name:<20}{count:>6}{line(groups, shared)}{len(scene.gaussians):>10}{seconds:>7.1f}", flush=True)
            said = {"notes": made.notes, "near": made.figures.get("near"), "far": made.figures.get("far")}
            names = [frame.name for frame in capture.frames[:count]]
            figures = {**vars(shared), **{title: scores(group) for title, group in groups.items()}}
            results.append(
                {
                    "capture": path.name,
                    "inputs": names,
                    "seconds": seconds,
                    "gaussians": len(scene.gaussians),
                    **said,
                    **figures,
                }
            )
            if args.pictures:
                args.pictures.mkdir(parents=True, exist_ok=True)
                sheet(scene, capture, count, job).save(args.pictures / f"{path.name}_{count}.png")
    return {"method": method.name, "model": args.model, "results": results}


def evenly(frames: int, count: int) -> list[int]:
    """Places of `count` frames from the first to the last; of the middle one alone."""
    return [frames // 2] if count == 1 else [round(k * (frames - 1) / (count - 1)) for k in range(count)]


def held_out(frames: int, inputs: Sequence[int]) -> list[int]:
    """The other places, or MOST_HELD_OUT of them."""
    others = [place for place in range(frames) if place not in inputs]
    return others if len(others) <= MOST_HELD_OUT else [others[k] for k in evenly(len(others), MOST_HELD_OUT)]


def scores(group: Group) -> dict[str, object]:
    return {"frames": group.frames, "all": group.all.as_json(), "seen": group.seen and group.seen.as_json()}


@dataclass(frozen=True)
class Shared:
    """Of the inputs' pixels those that another input sees too, by true depth: share, and how far rendered depth is off there."""

    shared: float | None
    shared_abs_rel: float | None
    shared_within: float | None

    @staticmethod
    def of(scene: SemanticScene, views: Sequence[View], job: Job) -> Shared:
        figures = []
        for view, picture in zip(views, render_scene(scene, [view.camera for view in views], job), strict=True):
            if view.depth is None:
                continue
            mask = seen_mask(view, [other for other in views if other is not view])
            off = metrics.depth_abs_rel(picture.depth, view.depth, mask), metrics.depth_within(picture.depth, view.depth, mask)
            figures.append((mask.mean(), *off))
        if not figures or not any(share for share, _, _ in figures):
            return Shared(0.0 if figures else None, None, None)
        share, abs_rel, within = np.nanmean(figures, axis=0)
        return Shared(float(share), float(abs_rel), float(within))


def line(groups: dict[str, Group], shared: Shared) -> str:
    held, own = groups["held-out"], groups["input"].all
    seen = held.seen or replace(held.all, psnr=np.nan, ssim=np.nan)
    both = f"{seen.psnr:.2f}/{held.all.psnr:.2f}", f"{seen.ssim:.3f}/{held.all.ssim:.3f}"
    forms = zip(vars(shared).values(), ("8.0%", "8.4f", "7.3f"), strict=True)
    cells = "".join(format("-", f">{form[0]}") if value is None else format(value, form) for value, form in forms)
    return f"{held.frames:>9}{own.depth_abs_rel:>9.4f}{own.depth_within:>7.3f}{cells}{both[0]:>13}{both[1]:>13}".replace(
        "nan", "  -"
    )


def sheet(scene: SemanticScene, capture: Capture, count: int, job: Job) -> Image.Image:
    """Columns: inputs, then held-out frames. Rows: picture, rendered picture, depth (true above if there is any), classes."""
    half = max(1, SHEET_COLUMNS // 2)
    some = [*range(count)][:: -(-count // half)][:half]
    some += [*range(count, len(capture.frames))][:: -(-(len(capture.frames) - count) // half)][:half]
    views = [capture.view(capture.frames[place]) for place in some]
    pictures = list(render_scene(scene, [view.camera for view in views], job))
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(scene.labels)] = scene.labels.colours
    maps = [p.depth if v.depth is None else v.depth for v, p in zip(views, pictures, strict=True)]
    far = float(np.quantile(np.concatenate([depth.ravel() for depth in maps]), 0.99)) or 1.0
    columns = []
    for view, picture in zip(views, pictures, strict=True):
        rows = [view.rgb, picture.rgb, *depths(view, picture.depth, far), colours[picture.classes]]
        columns.append(np.concatenate([shrunk(row) for row in rows]))
    return Image.fromarray(np.concatenate(columns, 1))


def depths(view: View, rendered: np.ndarray, far: float) -> list[np.ndarray]:
    """Near is bright, nothing is black; both by one scale."""
    maps = [rendered] if view.depth is None else [view.depth, rendered]
    return [
        np.repeat(np.where(d > 0, 255 - 215 * np.clip(d / far, 0, 1), 0).astype(np.uint8)[..., None], 3, axis=-1) for d in maps
    ]


def shrunk(picture: np.ndarray) -> np.ndarray:
    height = round(SHEET_WIDTH * picture.shape[0] / picture.shape[1])
    return np.asarray(Image.fromarray(picture).resize((SHEET_WIDTH, height), Image.Resampling.BOX))
