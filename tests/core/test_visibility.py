# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pixels count as seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import InvalidInput
from splatonym.core.views import View
from splatonym.core.visibility import depth_at, seen_mask

SIZE = 24


def view(depth, x=0.0, projection="perspective"):
    pose = np.eye(4)
    pose[0, 3] = x
    focal = SIZE if projection == "perspective" else SIZE / 4
    camera = Camera(SIZE, SIZE, intrinsics(focal, focal, SIZE / 2, SIZE / 2), pose, projection)
    maps = None if depth is None else np.broadcast_to(np.float32(depth), (SIZE, SIZE)).copy()
    return View("view", camera, np.zeros((SIZE, SIZE, 3), np.uint8), maps)


@given(st.floats(0.5, 50), st.sampled_from(["perspective", "orthographic"]))
def test_a_view_sees_itself(depth, projection):
    one = view(depth, projection=projection)
    assert seen_mask(one, [one]).all()


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_what_lies_beside_the_other_picture_is_not_seen(projection):
    mask = seen_mask(view(4.0, projection=projection), [view(4.0, x=2.0, projection=projection)])
    assert (mask == (np.arange(SIZE) >= SIZE // 2)).all()  # moved by half a picture, to the right


def test_a_nearer_surface_hides_a_farther_one():
    front = view(4.0)
    front.depth[:, :10] = 2.0
    mask = seen_mask(view(4.0), [front])
    assert not mask[:, :10].any() and mask[:, 10:].all()


def test_the_tolerance_is_a_share_of_the_depth():
    assert seen_mask(view(10.0), [view(10.19)]).all()
    assert not seen_mask(view(10.0), [view(10.21)]).any()
    assert seen_mask(view(10.0), [view(10.21)], tolerance=0.05).all()


def test_one_input_is_enough_and_holes_count_as_unseen():
    here = view(4.0)
    here.depth[3, 5] = 0
    mask = seen_mask(here, [view(9.0), view(None), view(4.0)])
    assert not mask[3, 5] and mask.sum() == SIZE * SIZE - 1


def test_no_inputs_see_nothing_and_a_view_without_depth_is_refused():
    assert not seen_mask(view(4.0), []).any()
    with pytest.raises(InvalidInput, match="has no depth"):
        seen_mask(view(None), [view(4.0)])


def test_points_behind_or_beside_a_camera_have_no_depth_there():
    other = view(4.0)
    own, found = depth_at(np.array([[0, 0, 4.0], [0, 0, -4.0], [9.0, 0, 4.0]]), other.camera, other.depth)
    assert own.tolist() == [4, -4, 4]
    assert found.tolist() == [4, 0, 0]
