# SPDX-License-Identifier: GPL-3.0-or-later
"""The plane sweep against its readable twin, and on a plane whose depth is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import arc, looking, rig_of
from splatonym.core.cameras import Camera, intrinsics
from splatonym.server.models.geometry import Rig, sources
from splatonym.server.models.sweep import agreement, agreement_nearby, agreement_reference, landing, log_planes


def features_of(rig, groups, channels, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(rig), groups * channels, rig.height, rig.width, generator=generator, dtype=rig.K.dtype)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 4), st.sampled_from([(6, 5), (4, 9), (8, 8)]), st.sampled_from([1, 2, 4]), st.integers(1, 3),
    st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_agreement_equals_its_twin(count, size, groups, most, away, seed):
    cameras = arc(count, size[1], size[0], turn=0.9)
    if away:  # the last camera looks out of the scene
        turned = cameras[-1].T_world_camera @ np.diag([-1.0, 1.0, -1.0, 1.0])
        cameras[-1] = Camera(size[1], size[0], cameras[-1].K, turned)
    rig = rig_of(cameras, torch.float64)
    features = features_of(rig, groups, 3, seed)
    depths = log_planes(0.4, 9.0, 6, features).exp()
    chosen = sources(rig, 0.4, 9.0, most)
    found = agreement(features, rig, chosen, depths, groups)
    assert found.shape == (count, 6, *size, 2 * groups + 1)
    assert torch.allclose(found, agreement_reference(features, rig, chosen, depths, groups), atol=1e-9)


def test_a_view_that_looks_away_gives_nothing():
    pose = looking((0, -3, 0), (0, 0, 0))
    back = looking((0, -3.2, 0), (0, -9, 0))
    K = intrinsics(8, 8, 4, 4)
    rig = rig_of([Camera(8, 8, K, pose), Camera(8, 8, K, back)])
    volume = agreement(features_of(rig, 2, 4, 0), rig, torch.tensor([[1], [0]]), torch.tensor([1.0, 3.0]), 2)
    assert (volume == 0).all()


def test_agreement_peaks_at_the_true_depth():
    """A random texture on the plane z = 3, seen by cameras side by side."""
    texture = torch.randn(8, 64, generator=torch.Generator().manual_seed(3))
    K, poses, rows = torch.tensor([[12.0, 0, 8], [0, 12.0, 4], [0, 0, 1]]), [], []
    for shift in (0.0, 0.25, 0.5):  # of whole pixels, so that no interpolation blurs: 12 * 0.25 / 3 = 1
        pose = torch.eye(4)
        pose[0, 3] = shift
        poses.append(pose)
        start = 20 + round(12 * shift / 3)
        rows.append(texture[:, start : start + 16])
    features = torch.stack(rows)[:, :, None].expand(-1, -1, 8, -1).contiguous()
    rig = Rig(K.expand(3, 3, 3), torch.stack(poses), 8, 16)
    depths = log_planes(1.5, 6.0, 9, features).exp()
    assert depths[4] == pytest.approx(3.0)
    volume = agreement(features, rig, sources(rig, 1.5, 6.0, 2), depths, 1)
    assert (volume[:, :, :, 4:12, 0].argmax(1) == 4).float().mean() > 0.95


def test_gradients_reach_the_features_of_both_sides():
    rig = rig_of(arc(3, 8, 6), torch.float64)
    features = features_of(rig, 2, 2, 5).requires_grad_()
    chosen, depths = torch.tensor([[1], [0], [0]]), torch.tensor([2.0, 3.0], dtype=torch.float64)
    agreement(features, rig, chosen, depths, 2)[2].sum().backward()
    own, source, other = (features.grad[view].abs().sum() for view in (2, 0, 1))
    assert own > 0 and source > 0 and other == 0
    twin = features.detach().clone().requires_grad_()
    agreement_reference(twin, rig, chosen, depths, 2)[2].sum().backward()
    assert torch.allclose(features.grad, twin.grad, atol=1e-9)


def test_a_view_lands_on_itself():
    rig = rig_of(arc(2, 8, 6), torch.float64)
    where, inside = landing(rig, 1, torch.tensor([1]), torch.tensor([0.5, 7.0], dtype=torch.float64))
    columns = (torch.arange(8, dtype=torch.float64) + 0.5) * 2 / 8 - 1
    assert inside.all() and torch.allclose(where[0, :, 0, 0].reshape(6, 8), columns.expand(6, 8))


def test_planes_are_equal_steps_of_log_depth():
    planes = log_planes(0.5, 8.0, 5, torch.zeros(1))
    assert torch.allclose(planes.exp(), torch.tensor([0.5, 1.0, 2.0, 4.0, 8.0]))


@pytest.mark.parametrize("count, groups", [(1, 1), (2, 2), (4, 1)])
def test_planes_of_each_pixels_own_equal_common_ones_where_they_are_the_same(count, groups):
    rig = rig_of(arc(count, 9, 7, turn=0.9), torch.float64)
    features = features_of(rig, groups, 3, 1)
    chosen = sources(rig, 0.4, 9.0, 2)
    common = log_planes(0.4, 9.0, 5, features).exp()
    expected = agreement_reference(features, rig, chosen, common, groups)
    each = common[None, :, None, None].expand(count, 5, 7, 9)
    assert torch.allclose(agreement_nearby(features, rig, chosen, each, groups), expected, atol=1e-9)
    # and where every pixel has one of them, the values of that one
    which = torch.randint(0, 5, (count, 1, 7, 9), generator=torch.Generator().manual_seed(2))
    found = agreement_nearby(features, rig, chosen, common[which], groups)
    picked = expected.gather(1, which[..., None].expand(-1, -1, -1, -1, expected.shape[-1]))
    assert torch.allclose(found, picked, atol=1e-9)
