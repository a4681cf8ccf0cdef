# SPDX-License-Identifier: GPL-3.0-or-later
"""The plane-sweep predictor on a textured scene whose depth is known, its parts, and what it says to bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from splatonym.core import metrics
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import Cancelled, InvalidInput
from splatonym.core.labels import LabelMap
from splatonym.core.scene import SemanticScene
from splatonym.core.views import View
from splatonym.server import predictors
from splatonym.server.job import Job
from splatonym.server.models.config import NetworkConfig
from splatonym.server.models.points import PointHead
from splatonym.server.models.sweep import landing
from splatonym.server.predictors import matching, plane_sweep
from splatonym.server.predictors.network import Seen, lift_views
from splatonym.server.rendering import render_scene

SIDE = 64
PIXELS = SIDE * SIDE
TEXTURE = np.random.default_rng(0).uniform(20, 235, (3, 48, 48, 3))
CELL = 0.11
"""Scene units of a cell of the texture; a pixel at the wall is 0.07."""


def painted(surface, u, v):
    """[H, W, 3] colour of a surface at places in its plane, smooth between random cells."""
    i, j = (np.nan_to_num(x / CELL, nan=0.0, posinf=0.0, neginf=0.0).clip(-1e6, 1e6) for x in (u, v))
    i0, j0 = np.floor(i).astype(int), np.floor(j).astype(int)
    out = 0
    for di in (0, 1):
        for dj in (0, 1):
            weight = np.abs(1 - di - (i - i0)) * np.abs(1 - dj - (j - j0))
            out = out + weight[..., None] * TEXTURE[surface, (i0 + di) % 48, (j0 + dj) % 48]
    return out


def view_from(x, y, name, turn=0.0):
    """A wall at z = 4, a floor at y = 1, and a board at z = 2.6, with exact depth."""
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    pose[:3, 3] = (x, y, 0)
    camera = Camera(SIDE, SIDE, intrinsics(60, 60, SIDE / 2, SIDE / 2), pose)
    rays = camera.unproject(np.ones((SIDE, SIDE))) - camera.position
    with np.errstate(divide="ignore"):
        board, wall = 2.6 / rays[..., 2], 4.0 / rays[..., 2]
        floor = np.where(rays[..., 1] > 1e-6, (1 - y) / rays[..., 1], np.inf)
    at = camera.position + rays * board[..., None]
    board = np.where((np.abs(at[..., 0]) < 0.6) & (np.abs(at[..., 1] + 0.2) < 0.5), board, np.inf)
    distances = np.stack([board, wall, floor])
    which, depth = distances.argmin(0), distances.min(0)
    points = camera.position + rays * depth[..., None]
    colours = [painted(k, points[..., 0], points[..., 2 if k == 2 else 1]) for k in range(3)]
    rgb = np.choose(which[..., None], colours)
    return View(name, camera, np.rint(rgb).astype(np.uint8), depth.astype(np.float32))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(plane_sweep, "PIXELS", PIXELS)


@pytest.fixture(scope="module")
def views():
    return [view_from(x, y, f"view {x}", -0.5 * x * 0.2) for x, y in ((-0.4, 0.0), (0.0, -0.2), (0.4, 0.0))]


def blind(views):
    return [replace(view, depth=None) for view in views]


def test_depth_of_a_textured_scene(views):
    seen = Seen.of(blind(views), PIXELS, True)
    with torch.inference_mode():
        found, (near, far) = plane_sweep.look(seen, plane_sweep.read_options({}), Job())
    assert 0.5 < near < 2.3 and 4.2 < far < 12
    true = torch.from_numpy(np.stack([view.depth for view in views]))
    error = (found.depth / true - 1).abs()
    sure = found.confidence >= plane_sweep.SURE
    assert float(error.median()) < 0.01 and float((error < 0.05).float().mean()) > 0.85
    assert float(sure.float().mean()) > 0.75 and float((error[sure] < 0.05).float().mean()) > 0.93


def test_pictures_of_the_result(views):
    prediction = predictors.choose("plane-sweep").predict(blind(views), {}, Job())
    prediction.gaussians.validate()
    assert prediction.classes is None and prediction.figures["views_with_depth"] == 0
    between = view_from(0.2, -0.1, "between")
    picture = next(render_scene(SemanticScene("", prediction.gaussians, LabelMap(())), [between.camera], Job()))
    assert metrics.depth_abs_rel(picture.depth, between.depth) < 0.05
    assert (picture.depth > 0).mean() > 0.9
    assert metrics.psnr(picture.rgb, between.rgb, picture.depth > 0) > 18


def test_given_depth_is_used_unless_it_is_not_wanted(views):
    given = predictors.choose("plane-sweep").predict(views, {}, Job())
    assert given.figures["views_with_depth"] == 3
    wall = given.gaussians.means[np.abs(given.gaussians.means[:, 2] - 4) < 0.3]
    assert len(wall) > 1000 and np.quantile(np.abs(wall[:, 2] - 4), 0.95) < 0.02
    refused = predictors.choose("plane-sweep").predict(views, {"use_depth": False, "near": 1.0, "far": 8.0}, Job())
    assert refused.figures["views_with_depth"] == 0 and refused.figures["near"] == 1.0 and refused.figures["far"] == 8.0


def test_one_view_with_depth_has_that_depth_and_nothing_where_it_has_none(views):
    holed = replace(views[0], depth=np.where(np.arange(SIDE)[:, None] < 20, 0, views[0].depth).astype(np.float32))
    for holes in ("leave", "fill"):
        prediction = predictors.choose("plane-sweep").predict([holed], {"holes": holes}, Job())
        assert prediction.figures["points"] == int((holed.depth > 0).sum())


def test_landing_is_that_of_the_network(views):
    rig = Seen.of(views, PIXELS, False).rig
    depths = torch.tensor([0.7, 2.0, 5.0])
    where, inside = matching._landing(rig, 0, 2, depths)
    expected, expected_inside = landing(rig, 0, torch.tensor([2]), depths)
    assert torch.allclose(where.reshape(3, -1, 2).transpose(0, 1), expected[0], atol=1e-4)
    other = inside.reshape(3, -1).T ^ expected_inside[0]
    assert float(other.float().mean()) < 1e-3


def test_plain_splats_are_those_of_an_untrained_head(views):
    seen = Seen.of(views, PIXELS, True)
    with torch.inference_mode():
        matched = matching.Matched(seen.depth * 1.01, torch.full_like(seen.depth, 0.7))
        lifted = lift_views(plane_sweep.to_maps(matched, seen), views, plane_sweep.read_options({"use_depth": False}))
        plain = plane_sweep.plain_splats(lifted.maps, lifted.rig)
        config = NetworkConfig(preset="rooms", class_count=1, point_features=1, offsets=False, point_interaction=False)
        untrained, _ = PointHead(config).splats(lifted.maps, lifted.rig)
    assert len(plain) == len(untrained)
    for name in ("means", "scales", "opacities", "colours"):
        assert torch.allclose(getattr(plain, name), getattr(untrained, name), atol=1e-5)


def test_adding_up_carries_depth_into_a_blank_wall():
    costs = torch.full((8, 12, 40), 0.5)
    costs[:, :, :4] = 1.0
    costs[3, :, :4] = 0.0  # the left edge knows
    planes = torch.linspace(0, 1, 8)
    found = matching.winner(matching.aggregate(costs, torch.zeros(3, 12, 40)), planes)
    assert (found - planes[3]).abs().max() < 0.5 * float(planes[1])


def test_bad_input_is_refused_with_a_way_out(views):
    predict = predictors.choose("plane-sweep").predict
    with pytest.raises(InvalidInput, match="one view"):
        predict(blind(views[:1]), {}, Job())
    with pytest.raises(InvalidInput, match="one place"):
        predict([replace(v, name=n, depth=None) for v, n in ((views[0], "a"), (views[0], "b"))], {}, Job())
    with pytest.raises(InvalidInput, match="model"):
        predict(blind(views), {"model": "rooms"}, Job())
    with pytest.raises(InvalidInput, match="rounds"):
        predict(blind(views), {"rounds": 99}, Job())
    with pytest.raises(InvalidInput, match="nothing to see"):
        predict([replace(view, rgb=np.zeros_like(view.rgb), depth=None) for view in views], {}, Job())


def test_views_that_face_apart_are_refused(views):
    away = [view_from(0.0, 0.0, "ahead"), view_from(0.1, 0.0, "behind")]
    pose = away[1].camera.T_world_camera.copy()
    pose[:3, :3] = pose[:3, :3] @ np.diag([-1.0, 1.0, -1.0])
    away[1] = replace(away[1], camera=replace(away[1].camera, T_world_camera=pose))
    with pytest.raises(InvalidInput, match="shows anything that another"):
        predictors.choose("plane-sweep").predict(blind(away), {}, Job())


def test_cancel_between_views(views):
    told = []
    job = Job(lambda stage, *_: told.append(stage))
    predictors.choose("plane-sweep").predict(blind(views), {}, job)
    assert {"sweep depth", "gather points", "refine colour"} <= set(told)
    stopped = Job(lambda stage, *_: stopped.cancel() if stage == "sweep depth" else None)
    with pytest.raises(Cancelled):
        predictors.choose("plane-sweep").predict(blind(views), {}, stopped)
