# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed names and questions on rendered rooms: labels in 3D, labels in novel views, and where a question points.

    .venv-server/bin/python scripts/evaluate.py open-vocab ROOMS [--model tiny] [--inputs 0,2,5,7] [--methods NAME...]

The names typed are the rooms' classes that are words ("small_object" and "other" are not, and their pixels are not judged). 3D labels are judged
on the Gaussians whose true class registration of the true instance maps gives; pixels on seen surfaces of the held-out views. Questions are the
names of the classes and of the single things in sight: a hit is a heat map whose highest place (five pixels blurred) lies on it.
Choice: of all names typed, also those that nothing in the room has, F1 of the Gaussians that the product chooses as meant ("chosen").
Calibration: |confidence - share that is right| of labelled Gaussians, over ten equal bins, weighted by their counts (ECE).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from splatonym.core import metrics
from splatonym.core.labels import LabelMap
from splatonym.core.views import View
from splatonym.core.visibility import seen_mask
from splatonym.server.captures import Capture, read_capture
from splatonym.server.job import Job
from splatonym.server.predictors.depth_pass import DepthPass
from splatonym.server.rasterize import choice
from splatonym.server.rasterize.contract import Frame, RasterSettings
from splatonym.server.rasterize.maps import soft_class_map
from splatonym.server.semantics.clip import models, sources
from splatonym.server.semantics.clip.cache import FeatureCache
from splatonym.server.semantics.scene_labels import SceneLabels
from splatonym.server.training.pairs import words_of

from .open_vocab_features import Asked, likeness, pixel_features
from .open_vocab_methods import METHODS
from .open_vocab_scores import Sums, figures

NOT_WORDS = ("background", "small_object", "other")
LEAST_PIXELS = 60
Floats = npt.NDArray[np.float32]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rooms", type=Path)
    parser.add_argument("--model", default="tiny", help="vision-language model (default: %(default)s)")
    parser.add_argument("--inputs", default="0,2,5,7", help="frames to predict from")
    parser.add_argument("--most", type=int, help="judge only the first so many rooms")
    parser.add_argument("--methods", nargs="+", help="only those whose names begin so")


def run(folders: list[Path], args: argparse.Namespace) -> dict[str, object]:
    """Judge and print; returns everything as JSON."""
    name, notes = sources.resolve(args.model)
    clip = models.load(name)
    print("\n".join([*notes, f"{name} ({clip.key}), {len(folders[: args.most])} rooms, inputs {args.inputs}"]), flush=True)
    chosen = [m for m in METHODS if not args.methods or any(m.startswith(word) for word in args.methods)]
    sums = {method: Sums() for method in chosen}
    for folder in folders[: args.most]:
        judge(read_capture(folder), args.inputs.split(","), clip, sums)
        print(f"{folder.name}: " + "  ".join(f"{m} {metrics.mean_iou(s.pixels[-1]):.3f}" for m, s in sums.items()), flush=True)
    rows = {method: figures(one) for method, one in sums.items()}
    keys = list(next(iter(rows.values())))
    print(f"\n{'':<38}" + "".join(f"{key:>13}" for key in keys))
    for method, row in rows.items():
        print(f"{method:<38}" + "".join(f"{'-' if np.isnan(row[key]) else format(row[key], '.3f'):>13}" for key in keys))
    return {"model": name, "key": clip.key, "inputs": args.inputs, "methods": rows}


def judge(capture: Capture, inputs: list[str], clip: Any, sums: dict[str, Sums]) -> None:
    """One room by all methods."""
    job, backend = Job(), choice.choose()
    views = capture.pick(inputs).views(job)
    assert capture.labels is not None
    gaussians = DepthPass().predict(views, {}, job)
    true = SceneLabels().label(gaussians, views, capture.labels, capture.instances, backend, job).gaussians
    typed = LabelMap(tuple(n.replace("_", " ") for n in capture.labels.names if n not in NOT_WORDS))
    C = len(typed) - 1
    of_class = np.array(
        [typed.names.index(n.replace("_", " ")) if n.replace("_", " ") in typed.names[:C] else -1 for n in capture.labels.names]
    )
    asked = Asked(gaussians.gaussians, views, clip, typed, backend, FeatureCache(), job)
    held = [frame for frame in capture.frames if frame.name not in {view.name for view in views}]
    truths = [capture.view(frame) for frame in held]
    frames = list(backend.prepare_all(gaussians.gaussians, [view.camera for view in truths], RasterSettings(), job))
    for method, one in sums.items():
        start = time.perf_counter()
        told = METHODS[method](asked)
        one.seconds.append(time.perf_counter() - start)
        counts = np.zeros((C, C + 1), np.int64)
        for view, frame in zip(truths, frames, strict=True):
            if told.scores is None:
                shown = likeness(asked, pixel_features(clip, view.rgb, job)).argmax(-1)
            else:
                shown = soft_class_map(frame, told.scores, nothing=C)[0]
                shown = np.where(frame.render(told.scores.max(1, keepdims=True)).features[..., 0] < 1e-3, C, shown)
            counts += metrics.confusion(shown, true_classes(view, capture, of_class), C, seen_mask(view, views))
        one.pixels.append(counts)
        if told.scores is not None:
            label = np.where(told.scores.any(1), told.scores.argmax(1), C)
            truth = of_class[true.label]
            one.gaussians.append(metrics.confusion(label, truth, C))
            if told.confidence is not None and told.label is not None:
                known = (truth >= 0) & (told.label < C)
                one.sure.append((told.confidence[known], (told.label == truth)[known]))
        if told.chooses is not None:
            for place, text in enumerate(typed.names[:C]):
                mine, meant = told.chooses(text), of_class[true.label] == place
                one.chosen += [int((mine & meant).sum()), int(mine.sum()), int(meant.sum())]
        if told.asks is not None:
            ask(told.asks, truths, frames, capture, typed.names[:C], of_class, one)


def true_classes(view: View, capture: Capture, of_class: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    assert capture.labels is not None and view.index is not None
    table = np.full(max(capture.instances, default=0) + 1, -1)
    for number, instance in capture.instances.items():
        table[number] = of_class[capture.labels.id_of(instance.class_name)]
    return table[view.index]


def ask(
    asks: Callable[[list[str]], Floats], truths: list[View], frames: list[Frame], capture: Capture, names: tuple[str, ...],
    of_class: npt.NDArray[np.int64], one: Sums,
) -> None:  # fmt: skip
    """Where questions point, in each held-out view, for what is in sight there."""
    words = {
        n: words_of(i.name, i.class_name)[0] for n, i in capture.instances.items() if i.name and words_of(i.name, i.class_name)
    }
    texts = [*names, *dict.fromkeys(words.values())]
    scores = asks(texts)
    for view, frame in zip(truths, frames, strict=True):
        assert view.index is not None
        classes = true_classes(view, capture, of_class)
        for place, text in enumerate(texts):
            if place < len(names):
                there = classes == place
            else:
                there = np.isin(view.index, [n for n, word in words.items() if word == text])
            if there.sum() < LEAST_PIXELS:
                continue
            out = frame.render(np.ascontiguousarray(scores[:, place : place + 1]))
            heat = blurred(np.where(out.alpha > 0.5, out.features[..., 0], -1))
            hit = bool(there.reshape(-1)[heat.argmax()])
            (one.hits if place < len(names) else one.thing_hits).append(hit)


def blurred(heat: Floats) -> Floats:
    """The mean over five by five pixels."""
    for axis in (0, 1):
        wide = np.pad(heat, [(2, 2) if k == axis else (0, 0) for k in range(2)], mode="edge")
        heat = sum(np.take(wide, range(k, k + heat.shape[axis]), axis) for k in range(5)) / 5
    return heat
