# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of rooms: the true class of Gaussians, accuracy by opacity, and means that count what they should."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from splatonym.core import metrics
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.scene import SemanticScene
from splatonym.core.views import View
from splatonym.server.captures import Capture, read_capture
from splatonym.server.evaluation import class_table
from splatonym.server.job import Job
from splatonym.server.network_evaluation import RoomFigures, label_accuracy, room_figures, summary, true_classes
from splatonym.tests import synthetic

SIZE = (32, 24)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return read_capture(synthetic.write_capture(tmp_path_factory.mktemp("truth"), synthetic.views(4, SIZE)))


def on_surfaces(truth: Capture, views: list[View], opacity: float = 0.9) -> SemanticScene:
    """A Gaussian for each pixel of the views, with its true class."""
    assert truth.labels is not None
    table = class_table(truth.labels, truth.instances)
    parts = []
    for view in views:
        assert view.depth is not None and view.index is not None
        hit = view.depth > 0
        parts.append((view.camera.unproject(view.depth)[hit], view.rgb[hit] / 255, table[view.index[hit]], view.depth[hit]))
    means, rgb, label, depth = (np.concatenate(column) for column in zip(*parts, strict=True))
    n = len(means)
    size = 0.5 * depth / views[0].camera.fx
    g = GaussianArrays(
        means.astype(np.float32), np.tile(np.float32([1, 0, 0, 0]), (n, 1)), np.tile(size[:, None], (1, 3)).astype(np.float32),
        np.full(n, opacity, np.float32), ((rgb - 0.5) / 0.28209479)[:, None].astype(np.float32), label.astype(np.int32),
        np.zeros(n, np.int32), np.ones(n, np.float32),
    )  # fmt: skip
    return SemanticScene("room", g, truth.labels)


def test_true_labels_are_right_and_wrong_ones_count_by_opacity(truth: Capture) -> None:
    views = truth.views(Job())
    scene = on_surfaces(truth, views[:2])
    right = label_accuracy(scene, truth, views)
    assert right.on_surface > 0.97 and right.all > 0.97 and right.share > 0.99
    g = scene.gaussians
    assert g.label is not None
    wrong = np.arange(len(g)) < len(g) // 2
    label = np.where(wrong, scene.labels.unlabelled, g.label).astype(np.int32)
    opacities = np.where(wrong, 0.1, 0.9).astype(np.float32)
    mixed = label_accuracy(replace(scene, gaussians=replace(g, label=label, opacities=opacities)), truth, views)
    assert mixed.on_surface == pytest.approx(0.9, abs=0.03)


def test_gaussians_in_the_air_are_wrong_in_all_and_left_out_on_surfaces(truth: Capture) -> None:
    views = truth.views(Job())
    scene = on_surfaces(truth, views[:1])
    eye = views[0].camera.position
    means = scene.gaussians.means.copy()
    half = np.arange(len(means)) % 2 == 0
    means[half] = eye + 0.4 * (means[half] - eye)
    found = label_accuracy(replace(scene, gaussians=replace(scene.gaussians, means=means.astype(np.float32))), truth, views)
    assert found.on_surface > 0.97 and found.all == pytest.approx(0.5, abs=0.05) and found.share == pytest.approx(0.5, abs=0.05)


def test_most_frames_decide_and_unknown_classes_are_not_judged(truth: Capture) -> None:
    views = truth.views(Job())
    assert truth.labels is not None and views[0].index is not None
    table = class_table(truth.labels, truth.instances)
    g = on_surfaces(truth, views[:1]).gaussians
    plain, touched = true_classes(g, views[:1], table, len(truth.labels))
    assert touched.all() and (plain == g.label).all()
    lying = replace(views[0], index=np.ones_like(views[0].index))
    outvoted, _ = true_classes(g, [views[0], lying, views[0]], table, len(truth.labels))
    assert (outvoted == g.label).all()
    nobody, touched = true_classes(g, views[:1], np.full_like(table, -1), len(truth.labels))
    assert touched.all() and (nobody == -1).all()
    unnamed = replace(truth, instances={k: replace(i, class_name="unlabelled") for k, i in truth.instances.items()})
    assert math.isnan(label_accuracy(on_surfaces(truth, views[:1]), unnamed, views).all)


def test_a_room_and_its_summary(truth: Capture) -> None:
    views = truth.views(Job())
    scene = on_surfaces(truth, views)
    room = room_figures(scene, truth, [views[0], views[3]], 2.0, None, Job())
    assert room.held_out is not None and room.held_out.seen is not None and room.held_out.frames == 2
    assert room.inputs is not None and room.inputs.frames == 2
    mean = summary([room, replace(room, seconds=4.0, megabytes=10.0)])
    assert mean.rooms == 2 and mean.seconds == 3.0 and mean.megabytes == 10.0
    assert mean.depth_input == room.inputs.all.depth_abs_rel < 0.3 and mean.within == room.held_out.seen.depth_within > 0.9
    assert mean.miou == room.held_out.seen.mean_iou > 0.7
    assert room.seen_counts.sum() < room.all_counts.sum()
    assert mean.pooled_miou == pytest.approx(metrics.mean_iou(2 * room.seen_counts))
    json.dumps(mean.as_json(), allow_nan=False)


def test_pooling_counts_classes_over_rooms(truth: Capture) -> None:
    views = truth.views(Job())
    scene = on_surfaces(truth, views)
    good = room_figures(scene, truth, views[:1], 1.0, None, Job())
    empty = replace(scene, gaussians=scene.gaussians.select(np.zeros(len(scene.gaussians), bool)))
    bad: RoomFigures = room_figures(empty, truth, views[:1], 1.0, None, Job())
    assert bad.labels.all != bad.labels.all and bad.gaussians == 0
    mean = summary([good, bad])
    assert mean.pooled_miou_all == pytest.approx(metrics.mean_iou(good.all_counts + bad.all_counts))
    assert mean.label_accuracy_all == good.labels.all


def test_only_inputs_and_no_depth(truth: Capture, tmp_path: Path) -> None:
    bare = replace(truth, frames=tuple(replace(frame, depth=None) for frame in truth.frames))
    views = bare.views(Job())
    scene = on_surfaces(truth, truth.views(Job()))
    room = room_figures(scene, bare, views, 1.0, None, Job())
    assert room.held_out is None and room.inputs is not None
    mean = summary([room])
    assert math.isnan(mean.depth_input) and math.isnan(mean.psnr) and math.isnan(mean.label_accuracy_on_surface)


def test_depth_within() -> None:
    truth, depth = np.float32([[1, 2, 0, 4]]), np.float32([[1.2, 1.5, 3, 0]])
    assert metrics.depth_within(depth, truth) == 0.5
    assert metrics.depth_within(depth, truth, np.array([[True, False, True, True]])) == 1.0
    assert math.isnan(metrics.depth_within(depth, truth, np.zeros((1, 4), bool)))
