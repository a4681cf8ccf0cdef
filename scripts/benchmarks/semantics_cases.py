# SPDX-License-Identifier: GPL-3.0-or-later
"""What `benchmark.py semantics` measures: a view's features, and all steps of a scene. See semantics.py."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from splatonym.core.codebook import Codebook, spread
from splatonym.core.labels import preset
from splatonym.core.scene import SEMANTICS_NAME, SemanticScene, read_scene, write_scene
from splatonym.server.captures import read_capture
from splatonym.server.job import Job
from splatonym.server.predictors.depth_pass import DepthPass
from splatonym.server.rasterize import choice
from splatonym.server.rasterize.contract import RasterSettings
from splatonym.server.semantics import codebook, instances, language, naming, questions
from splatonym.server.semantics.clip import models
from splatonym.server.semantics.clip.images import RegionVectors, describe_regions
from splatonym.server.semantics.segments import segments
from splatonym.server.semantics.votes import added_up
from splatonym.tests import synthetic


def seconds(call: Callable[[], object], repeats: int) -> float:
    """The median, after a run that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:] or times)


def views_of(args: argparse.Namespace) -> list[Any]:
    return read_capture(Path(args.room)).views(Job()) if args.room else synthetic.views(8, (256, 256))


def features(args: argparse.Namespace) -> dict[str, Any]:
    views, clip, question = views_of(args), models.load(args.model), questions.Question.parse("lamp not chair")
    out: dict[str, Any] = {"regions_s": seconds(lambda: [segments(view) for view in views], args.repeats) / len(views)}
    masks = [[numbers == k for k in range(1, numbers.max() + 1)] for numbers in map(segments, views)]
    book = Codebook(clip.name, clip.key, *np.eye(200, clip.dim, dtype=np.float16)[None].repeat(2, 0))
    out["texts_s"] = seconds(lambda: questions.word_scores(book, question, clip), args.repeats)
    other = models.wrap("ViT-B-16 (random)", "0", open_clip.create_model("ViT-B-16", load_weights=False).eval(), None)
    out["describe_s"] = {}
    for model, some in ((clip, len(views)), (other, 1)):  # that many views are enough
        describe_regions(model, views[0].rgb, masks[0][:1], Job())
        mine = list(zip(views, masks, strict=True))[:some]
        out["describe_s"][model.name] = seconds(lambda: [describe_regions(model, v.rgb, m, Job()) for v, m in mine], 0) / some  # noqa: B023
    size = f"{views[0].camera.width}x{views[0].camera.height}"
    return {
        **out,
        "device": str(clip.device),
        "views": len(views),
        "pixels": size,
        "regions": sum(map(len, masks)) / len(views),
    }


def scene(args: argparse.Namespace, size: int) -> dict[str, Any]:
    clip, job, views, rng = models.load(args.model), Job(), views_of(args), np.random.default_rng(0)
    found = DepthPass().predict(views, {}, job).gaussians
    g = found.select(rng.integers(0, len(found), size))
    finer = np.float32(min(1, (len(found) / size) ** 0.5))  # the same surfaces, covered by smaller ones
    g = replace(g, means=(g.means + rng.normal(size=(size, 3)) * g.scales).astype(np.float32), scales=g.scales * finer)
    maps, told = [segments(view) for view in views], []
    for numbers in maps:
        names, pixels = np.unique(numbers[numbers > 0], return_counts=True)
        vectors = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(2, len(names), clip.dim))).float(), dim=-1)
        told.append(language.Described(names.astype(np.int64), pixels, RegionVectors(*vectors)))

    def register() -> list[Any]:
        frames = choice.choose().prepare_all(g, [view.camera for view in views], RasterSettings(), job)
        return [language.registered(*one, False) for one in zip(frames, maps, told, strict=True)]

    def describe() -> tuple[Any, ...]:
        specific, context, word_of = codebook.shortened(*language.means(things, told, clip.dim), language.weights_of(things))
        columns = codebook.pairs(size, *added_up((things.gaussian, word_of[things.thing], things.weight)))
        book = Codebook(clip.name, clip.key, specific.astype(np.float16), context.astype(np.float16))
        return book, *columns, language.owners(things, size)

    out: dict[str, Any] = {"gaussians": size, "register": seconds(register, min(1, args.repeats)) / len(views)}
    seen = register()
    out["join"] = seconds(lambda: instances.join(seen, size), args.repeats)
    things = instances.join(seen, size)
    out["codebook"] = seconds(describe, args.repeats)
    book, words, shares, instance = describe()
    made = SemanticScene("s", replace(g, words=words, shares=shares, instance=instance), preset("indoor"), {}, book)
    logits = rng.normal(size=(len(book), len(made.labels))).astype(np.float32)

    def relabel() -> SemanticScene:
        label, sure = naming.decide(words, shares, logits, made.labels.unlabelled, naming.FLOOR)
        gaussians = replace(made.gaussians, label=label, confidence=sure)
        return replace(made, gaussians=gaussians, instances=naming.named_instances(gaussians, made.labels, {}))

    out["relabel"], made, scores = seconds(relabel, args.repeats), relabel(), rng.random(len(book)).astype(np.float32)
    out["query"] = seconds(lambda: questions.answer(made, spread(words, shares, scores), scores, "group", None), args.repeats)
    with tempfile.TemporaryDirectory() as folder:
        out["save"] = seconds(lambda: write_scene(folder, made), args.repeats)
        out["load"] = seconds(lambda: read_scene(folder), args.repeats)
        bytes_of = {path.name: path.stat().st_size for path in Path(folder).iterdir()}
    out["scene_mb"], out["words_mb"] = sum(bytes_of.values()) / 1e6, bytes_of[SEMANTICS_NAME] / 1e6
    added = sum(part.nbytes for part in (words, shares)) // size
    return {**out, "bytes": added, "regions": sum(len(one.numbers) for one in told), "things": things.count}
