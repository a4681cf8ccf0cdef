# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation with pictures made up on purpose: perfect ones, wrong ones, and label sets in another order."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from splatonym.core.cameras import Camera
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.labels import LabelMap
from splatonym.core.scene import SemanticScene
from splatonym.core.views import View
from splatonym.server import evaluation
from splatonym.server.captures import Capture, read_capture
from splatonym.server.job import Job
from splatonym.server.rendering import RenderedView
from splatonym.tests import synthetic

LABELS = LabelMap(("sofa", "ceiling", "unlabelled", "wall", "floor", "table"))  # another order; no cabinet
SIZE = (16, 12)
NO_GAUSSIANS = GaussianArrays(
    np.zeros((0, 3), np.float32), np.zeros((0, 4), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32),
    np.zeros((0, 1, 3), np.float32),
)  # fmt: skip
SCENE = SemanticScene("made up", NO_GAUSSIANS, LABELS)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return read_capture(synthetic.write_capture(tmp_path_factory.mktemp("truth"), synthetic.views(4, SIZE)))


def perfect(view: View) -> RenderedView:
    assert view.depth is not None and view.index is not None
    ids = [LABELS.names.index(i.class_name) if i.class_name in LABELS.names else 0 for i in synthetic.INSTANCES.values()]
    classes = np.array([255, *ids], np.uint8)[view.index]
    return RenderedView(view.rgb, view.depth, np.ones_like(view.depth), classes, view.index)


Change = Callable[[RenderedView], RenderedView]


def judge(
    monkeypatch: pytest.MonkeyPatch, truth: Capture, change: Change = lambda view: view, inputs: Sequence[int] = (0, 3)
) -> evaluation.Evaluation:
    def draw(scene: SemanticScene, cameras: Sequence[Camera], job: Job) -> Iterator[RenderedView]:
        for camera in cameras:
            yield change(perfect(synthetic.trace(camera)))

    monkeypatch.setattr(evaluation, "render_scene", draw)
    seen = synthetic.views(4, SIZE)
    return evaluation.evaluate(SCENE, truth, [seen[k] for k in inputs], Job())


def test_perfect_pictures(monkeypatch: pytest.MonkeyPatch, truth: Capture) -> None:
    result = judge(monkeypatch, truth)
    assert [frame.is_input for frame in result.frames] == [True, False, False, True]
    assert [(group.title, group.frames) for group in result.groups] == [("held-out", 2), ("input", 2)]
    for frame in result.frames:
        assert frame.seen is not None and frame.all.share == 1 and 0 < frame.seen.share <= 1
        assert frame.all.psnr == math.inf and frame.all.ssim == pytest.approx(1) and frame.all.depth_abs_rel < 1e-3
    assert result.frames[0].seen is not None and result.frames[0].seen.share > 0.99
    held_out = result.groups[0].class_iou
    assert held_out["cabinet"] == 0 and held_out["floor"] == held_out["table"] == held_out["wall"] == 1
    assert "sofa" not in held_out  # the truth has none


def test_dark_pictures(monkeypatch: pytest.MonkeyPatch, truth: Capture) -> None:
    result = judge(monkeypatch, truth, lambda view: replace(view, rgb=view.rgb // 2, depth=view.depth * np.float32(1.1)))
    for frame in result.frames:
        assert 5 < frame.all.psnr < 15 and frame.all.ssim < 0.9
        assert frame.all.depth_abs_rel == pytest.approx(0.1, abs=2e-3)


def test_nothing_at_all(monkeypatch: pytest.MonkeyPatch, truth: Capture) -> None:
    def nothing(view: RenderedView) -> RenderedView:
        return RenderedView(
            np.zeros_like(view.rgb), np.zeros_like(view.depth), np.zeros_like(view.alpha), np.full_like(view.classes, 255),
            np.zeros_like(view.instances),
        )  # fmt: skip

    for frame in judge(monkeypatch, truth, nothing).frames:
        assert frame.all.mean_iou == frame.all.accuracy == 0 and math.isnan(frame.all.depth_abs_rel)


def test_unlabelled_pixels_are_wrong_but_unlabelled_truth_is_not_judged(
    monkeypatch: pytest.MonkeyPatch, truth: Capture
) -> None:
    unsaid = judge(monkeypatch, truth, lambda view: replace(view, classes=np.full_like(view.classes, LABELS.unlabelled)))
    assert unsaid.groups[0].all.accuracy == 0
    instances = {k: replace(i, class_name="unlabelled") if k == 8 else i for k, i in truth.instances.items()}
    sure = judge(monkeypatch, replace(truth, instances=instances))
    assert "cabinet" not in sure.groups[0].class_iou and sure.groups[0].all.mean_iou == sure.groups[0].all.accuracy == 1


def test_classes_are_counted_over_all_frames_of_a_group(monkeypatch: pytest.MonkeyPatch, truth: Capture) -> None:
    result = judge(monkeypatch, truth, lambda view: replace(view, classes=np.roll(view.classes, 3, axis=1)))
    counts = result.frames[1].all_counts + result.frames[2].all_counts
    hits, missed, false = np.diag(counts), counts.sum(1), counts[:, :-1].sum(0)
    there = missed > 0
    expected = (hits[there] / (missed + false - hits)[there]).mean()
    assert result.groups[0].all.mean_iou == pytest.approx(expected)


def test_a_truth_without_depth_and_labels(monkeypatch: pytest.MonkeyPatch, truth: Capture) -> None:
    frames = tuple(replace(frame, depth=None, index=None) for frame in truth.frames)
    plain = replace(truth, frames=frames, labels=None, instances={})
    result = judge(monkeypatch, plain)
    for scores in (result.frames[1].all, result.groups[0].all):
        assert scores.psnr == math.inf and math.isnan(scores.mean_iou) and math.isnan(scores.depth_abs_rel)
    assert result.frames[1].seen is None and result.groups[0].seen is None
    assert "-" in evaluation.table(result)


def test_no_group_without_frames(monkeypatch: pytest.MonkeyPatch, truth: Capture) -> None:
    assert [group.title for group in judge(monkeypatch, truth.pick(["1"])).groups] == ["held-out"]


def test_the_table_and_the_json(monkeypatch: pytest.MonkeyPatch, truth: Capture, tmp_path: Path) -> None:
    result = judge(monkeypatch, truth, lambda view: replace(view, rgb=view.rgb // 2))
    lines = evaluation.table(result).splitlines()
    assert len(lines) == 2 + 1 + 4 + 1 + 2 and lines[3].startswith("rgb_0.png *")
    assert len({len(line) for line in (lines[0], lines[1], *lines[3:7], *lines[8:])}) == 1
    content = json.loads(json.dumps(evaluation.as_json(result), allow_nan=False))
    assert content["frames"][1]["name"] == "rgb_1.png" and content["frames"][1]["input"] is False
    assert f"{content['frames'][1]['all']['psnr']:.2f}" in lines[4]
    assert f"{content['means']['held-out']['seen']['mean_iou']:.3f}" in lines[8]
    perfect_json = evaluation.as_json(judge(monkeypatch, truth))
    json.dumps(perfect_json, allow_nan=False)
