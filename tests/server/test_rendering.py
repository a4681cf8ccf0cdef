# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a scene: colours, depth, classes, instances, and nothing where there is nothing."""

from dataclasses import replace

import numpy as np
import pytest
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import Cancelled
from splatonym.core.gaussians import GaussianArrays, sh_from_rgb
from splatonym.core.labels import NOTHING, LabelMap
from splatonym.core.scene import SemanticScene
from splatonym.server.job import Job
from splatonym.server.rendering import render_scene

SIZE = 32
CAMERA = Camera(SIZE, SIZE, intrinsics(SIZE, SIZE, SIZE / 2, SIZE / 2), np.eye(4))
LABELS = LabelMap(("wall", "chair"))


def sheet(columns, depth=2.0, label=0, instance=1, colour=(0.8, 0.4, 0.2), opacity=0.6):
    """One Gaussian at the centre of each pixel in these columns."""
    row, column = np.meshgrid(np.arange(SIZE), columns, indexing="ij")
    pixels = np.stack([column, row], -1).reshape(-1, 2) + 0.5
    xy = (pixels - SIZE / 2) / SIZE * depth
    n = len(xy)
    return GaussianArrays(
        np.column_stack([xy, np.full(n, depth)]).astype(np.float32),
        np.tile(np.float32([1, 0, 0, 0]), (n, 1)),
        np.full((n, 3), 0.4 * depth / SIZE, np.float32),
        np.full(n, opacity, np.float32),
        sh_from_rgb(np.tile(np.float32(colour), (n, 1))),
        np.full(n, label, np.int32),
        np.full(n, instance, np.int32),
    )


def together(*parts):
    names = ("means", "quats", "scales", "opacities", "sh", "label", "instance")
    return GaussianArrays(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def picture(gaussians, **options):
    return next(render_scene(SemanticScene("scene", gaussians, LABELS), [CAMERA], Job(), **options))


def test_a_covered_pixel_has_the_surface_s_own_colour_though_light_gets_through():
    view = picture(sheet(range(SIZE)))
    inside = view.alpha[4:-4, 4:-4]
    assert inside.min() > 0.5 and inside.max() < 1
    assert np.abs(view.rgb[4:-4, 4:-4].astype(int) - np.rint(np.array([0.8, 0.4, 0.2]) * 255)).max() <= 1
    assert np.allclose(view.depth[4:-4, 4:-4], 2, atol=1e-5)


def test_two_sheets_side_by_side_keep_their_classes_and_instances():
    view = picture(together(sheet(range(16), label=0, instance=300), sheet(range(16, SIZE), label=1, instance=7)))
    assert (view.classes[:, 2:14] == 0).all() and (view.classes[:, 18:-2] == 1).all()
    assert (view.instances[:, 2:14] == 300).all() and (view.instances[:, 18:-2] == 7).all()


def test_what_lies_in_front_hides_what_lies_behind():
    view = picture(together(sheet(range(SIZE), 4.0, 0, 1), sheet(range(8, 24), 2.0, 1, 2, opacity=0.95)))
    assert (view.classes[2:-2, 10:22] == 1).all() and (view.classes[2:-2, 1:6] == 0).all()


def test_where_nothing_is_there_is_nothing_but_the_background():
    view = picture(sheet(range(8)), background=(0.0, 0.5, 1.0))
    empty = np.s_[:, 14:]
    assert (view.alpha[empty] == 0).all() and (view.depth[empty] == 0).all()
    assert (view.classes[empty] == NOTHING).all() and (view.instances[empty] == 0).all()
    assert (view.rgb[empty] == [0, 128, 255]).all()


def test_many_instances_need_no_channel_each():
    columns = [sheet([k], instance=1000 + k) for k in range(SIZE)]
    view = picture(together(*columns))
    assert (view.instances[:, 1:-1] == 1000 + np.arange(1, SIZE - 1)).all()


def test_gaussians_without_labels_are_unlabelled():
    view = picture(replace(sheet(range(SIZE)), label=None, instance=None))
    assert (view.classes[4:-4, 4:-4] == LABELS.unlabelled).all() and not view.instances.any()


def test_a_cancelled_job_renders_nothing():
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        next(render_scene(SemanticScene("scene", sheet(range(4)), LABELS), [CAMERA], job))
