# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers against plain loops, and enlarging that keeps edges sharp."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import arc, rig_of
from splatonym.server.models.layers import Attention, Norm, convex_upsample, fourier, hard
from splatonym.server.models.lifting import guided_enlarge, lift
from splatonym.server.models.network import Maps


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_convex_upsample_equals_a_plain_loop(factor):
    values, weights = numbers(2, 3, 4, 5, seed=1), numbers(2, 9 * factor**2, 4, 5, seed=2)
    found = convex_upsample(values, weights, factor)
    true = torch.zeros(2, 3, 4 * factor, 5 * factor)
    share = weights.reshape(2, 9, factor, factor, 4, 5).softmax(1)
    for view, row, column, i, j in np.ndindex(2, 4, 5, factor, factor):
        for place in range(9):
            r, c = min(max(row + place // 3 - 1, 0), 3), min(max(column + place % 3 - 1, 0), 4)
            weight = share[view, place, i, j, row, column]
            true[view, :, row * factor + i, column * factor + j] += weight * values[view, :, r, c]
    assert torch.allclose(found, true, atol=1e-5)


def test_a_convex_combination_invents_nothing():
    values = numbers(1, 1, 6, 6)
    found = convex_upsample(values, 5 * numbers(1, 9 * 16, 6, 6, seed=3), 4)
    assert found.min() >= values.min() - 1e-6 and found.max() <= values.max() + 1e-6
    constant = convex_upsample(torch.full((1, 1, 6, 6), 1.25), numbers(1, 9 * 16, 6, 6), 4)
    assert torch.allclose(constant, torch.full((1, 1, 24, 24), 1.25))


def test_guided_enlarging_keeps_the_edge_between_two_planes_sharp():
    """Two depths and two colours that meet in the middle of a coarse pixel's neighbourhood."""
    H, W = 40, 52
    right = torch.arange(W) >= 27
    rgb = torch.where(right, 0.9, 0.1).expand(1, 3, H, W).contiguous()
    h, w = 10, 13
    coarse = torch.where((torch.arange(w) + 0.5) * 4 > 27, 4.0, 2.0).expand(1, h, w)
    found = guided_enlarge(coarse.log(), rgb).exp()
    assert ((found - 2).abs().minimum((found - 4).abs()) < 1e-4).all(), "a depth in between is of no surface"
    wrong = (found - torch.where(right, 4.0, 2.0)).abs() > 0.1
    assert wrong.float().mean() < 0.03 and not wrong[:, :, :24].any() and not wrong[:, :, 30:].any()


@pytest.mark.parametrize("size", [(37, 51), (16, 16), (8, 5), (1, 1)])
def test_guided_enlarging_keeps_a_constant(size):
    rgb = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    found = guided_enlarge(torch.full((2, 8, 6), 0.7), rgb)
    assert found.shape == (2, *size) and torch.allclose(found, torch.tensor(0.7))


def test_guided_enlarging_keeps_a_slope():
    ramp = (torch.arange(8) + 0.5) / 8
    found = guided_enlarge((0.05 * ramp).expand(1, 8, 8), torch.full((1, 3, 32, 32), 0.5))
    true = 0.05 * (torch.arange(32) + 0.5) / 32
    assert (found[0, :, 2:-2] - true[2:-2]).abs().max() < 1e-4


def test_lifting_follows_given_depth_exactly_where_it_is_trusted():
    rig = rig_of(arc(1, 40, 24))
    h, w = 12, 20
    flat = torch.full((1, h, w), 3.0)
    maps = Maps(
        depth=flat, predicted_depth=flat, trust_logits=torch.full((1, h, w), 2.0), confidence=torch.full((1, h, w), 0.5),
        plane_logits=torch.zeros(1, 4, 3, 5), coarse_depth=flat[:, ::4, ::4], trust=torch.ones(1, h, w),
        normals=torch.tensor([0.0, 0, -1]).expand(1, h, w, 3), logits=numbers(1, 5, h, w), features=numbers(1, 4, h, w),
    )  # fmt: skip
    given = torch.full((1, 24, 40), 2.0)
    given[:, :, 20:] = 0
    lifted = lift(maps, torch.rand(1, 3, 24, 40), rig, given)
    assert torch.allclose(lifted.depth[:, :, :20], torch.tensor(2.0)) and torch.allclose(
        lifted.depth[:, :, 20:], torch.tensor(3.0)
    )
    assert (lifted.confidence[:, :, :20] == 1).all() and torch.allclose(lifted.confidence[:, :, 20:], torch.tensor(0.5))
    assert (lifted.trust == (given > 0)).all()


def test_norm_is_over_the_channels_of_each_pixel():
    x = numbers(2, 6, 3, 4)
    mean, var = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
    assert torch.allclose(Norm(6)(x), (x - mean) / (var + 1e-5).sqrt(), atol=1e-5)


def test_attention_treats_its_tokens_as_a_set():
    torch.manual_seed(0)
    block, tokens = Attention(16, 4), numbers(11, 16)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(block(tokens)[order], block(tokens[order]), atol=1e-5)


def test_hard_is_a_step_forwards_and_the_identity_backwards():
    share = torch.tensor([0.1, 0.5, 0.51, 0.99], requires_grad=True)
    out = hard(share)
    assert out.tolist() == [0, 0, 1, 1]
    (out * torch.tensor([1.0, 2, 3, 4])).sum().backward()
    assert share.grad.tolist() == [1, 2, 3, 4]


def test_fourier_holds_the_numbers_and_their_octaves():
    x = numbers(3, 2)
    found = fourier(x, 3)
    assert found.shape == (3, 14) and torch.equal(found[:, :2], x)
    assert torch.allclose(found[:, 6:8], (4 * x).sin()) and torch.allclose(found[:, 12:], (4 * x).cos())
    assert F.mse_loss(found[:, 2:8] ** 2 + found[:, 8:] ** 2, torch.ones(3, 6)) < 1e-10
