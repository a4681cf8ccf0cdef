# SPDX-License-Identifier: GPL-3.0-or-later
"""The network as a whole, untrained: shapes, symmetries that hold by construction, what each part may leave out."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from networks import SMALL, arc, rig_of, scaled
from splatonym.server import models
from splatonym.server.models.geometry import Rig
from splatonym.server.models.lifting import lift
from splatonym.server.models.network import _evidence, _local_mean
from splatonym.server.models.sweep import log_planes

SIZE = (64, 96)
NEAR, FAR = 0.8, 9.0


def inputs(count, seed=0, size=SIZE):
    rig = rig_of(arc(count, size[1], size[0]))
    rgb = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))
    given = torch.zeros(count, *size)
    given[:, 8:40, 16:64] = (
        3.0 + 0.2 * torch.rand(count, *size, generator=torch.Generator().manual_seed(seed + 1))[:, 8:40, 16:64]
    )
    return rgb, rig, given


def run(network, rgb, rig, given, near=NEAR, far=FAR):
    with torch.no_grad():
        return network.decode(network.encode(rgb, rig), rgb, rig, given, near, far)


@pytest.fixture(scope="module")
def network():
    """Untrained, but with none of the layers that begin at zero left there: so every path carries something."""
    network = models.create(SMALL, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name.endswith("weight") and not p.any():
                p.copy_(0.05 * torch.randn(p.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize("count, size", [(1, (32, 32)), (2, (64, 96)), (4, (96, 32))])
def test_maps_have_the_shapes_that_they_say(network, count, size):
    rgb, rig, given = inputs(count, size=size)
    maps = run(network, rgb, rig, given)
    H, W = size
    shapes = {
        "depth": (H, W), "predicted_depth": (H, W), "trust_logits": (H, W), "confidence": (H, W), "trust": (H, W),
        "plane_logits": (16, H // 4, W // 4), "coarse_depth": (H // 4, W // 4), "normals": (H, W, 3), "logits": (24, H, W),
        "features": (8, H, W),
    }  # fmt: skip
    assert {f.name: tuple(getattr(maps, f.name).shape) for f in fields(maps)} == {k: (count, *v) for k, v in shapes.items()}
    assert all(torch.isfinite(getattr(maps, f.name)).all() for f in fields(maps))
    assert ((maps.confidence >= 0) & (maps.confidence <= 1 + 1e-6)).all()
    assert torch.allclose(maps.normals.norm(dim=-1), torch.ones(count, H, W), atol=1e-4)
    step = (FAR / NEAR) ** (1 / 15)
    assert maps.predicted_depth.min() > NEAR / step / 1.001 and maps.predicted_depth.max() < FAR * step * 1.001


def test_the_same_seed_gives_the_same_network_and_the_same_maps():
    rgb, rig, given = inputs(2)
    one, two = (run(models.create(SMALL, seed=4), rgb, rig, given) for _ in range(2))
    assert all(torch.equal(getattr(one, f.name), getattr(two, f.name)) for f in fields(one))
    assert not torch.equal(run(models.create(SMALL, seed=5), rgb, rig, given).logits, one.logits)


def test_making_a_network_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(11)
    expected = torch.rand(1)
    torch.manual_seed(11)
    models.create(SMALL, seed=3)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("factor", [0.01, 0.5, 3.0, 100.0])
def test_in_other_units_the_same_scene_has_the_same_maps_in_those_units(network, factor):
    rgb, rig, given = inputs(3)
    plain = run(network, rgb, rig, given)
    other = run(network, rgb, scaled(rig, factor), given * factor, NEAR * factor, FAR * factor)
    assert torch.allclose(other.depth / factor, plain.depth, rtol=2e-3)
    assert torch.allclose(other.coarse_depth / factor, plain.coarse_depth, rtol=2e-3)
    assert (other.logits - plain.logits).abs().max() < 0.02 * plain.logits.abs().max()
    assert torch.equal(other.trust, plain.trust)


def test_splats_of_the_scene_in_other_units_are_the_same_in_those_units(network):
    """The cells in which points meet are powers of two wide, so this is exact for such a factor."""
    rgb, rig, given = inputs(3)
    maps = run(network, rgb, rig, given)
    larger = replace(maps, depth=maps.depth * 4, predicted_depth=maps.predicted_depth * 4)
    with torch.no_grad():
        one, _ = network.points.splats(lift(maps, rgb, rig, given), rig)
        two, _ = network.points.splats(lift(larger, rgb, scaled(rig, 4.0), given * 4), scaled(rig, 4.0))
    assert len(one) == len(two)
    for name, factor in (("means", 4), ("scales", 4), ("opacities", 1), ("colours", 1), ("logits", 1)):
        a, b = getattr(one, name).double(), getattr(two, name).double() / factor
        assert torch.allclose(a.mean(0), b.mean(0), rtol=1e-4, atol=1e-5), name
        assert torch.allclose(a.std(0), b.std(0), rtol=1e-4, atol=1e-5), name


def test_a_scene_moved_as_a_whole_has_the_same_maps(network):
    rgb, rig, given = inputs(3)
    move = torch.eye(4)
    turn = torch.tensor(0.7)
    move[0, 0], move[0, 1], move[1, 0], move[1, 1] = turn.cos(), -turn.sin(), turn.sin(), turn.cos()
    move[:3, 3] = torch.tensor([5.0, -2.0, 1.0])
    plain = run(network, rgb, rig, given)
    moved = run(network, rgb, Rig(rig.K, move @ rig.T_world_camera, rig.height, rig.width), given)
    assert torch.allclose(moved.depth, plain.depth, rtol=2e-3)
    assert (moved.logits - plain.logits).abs().max() < 0.02 * plain.logits.abs().max()


def test_the_order_of_the_views_after_the_first_does_not_matter(network):
    """The first camera's axes are those of the rays' positions, so it must stay first."""
    rgb, rig, given = inputs(4)
    order = torch.tensor([0, 3, 1, 2])
    plain = run(network, rgb, rig, given)
    other = run(network, rgb[order], Rig(rig.K[order], rig.T_world_camera[order], rig.height, rig.width), given[order])
    assert torch.allclose(other.depth, plain.depth[order], rtol=2e-3)
    assert (other.logits - plain.logits[order]).abs().max() < 0.02 * plain.logits.abs().max()


def test_views_speak_to_each_other_unless_that_is_left_out(network):
    """Other pictures in the second view change the first one's classes; without attention and cost volume they cannot."""
    rgb, rig, given = inputs(2)
    other = torch.cat([rgb[:1], inputs(2, seed=9)[0][1:]])
    assert not torch.allclose(run(network, rgb, rig, given).logits[0], run(network, other, rig, given).logits[0], atol=1e-4)
    deaf = models.Network(replace(SMALL, cross_view=False, cost_volume=False)).eval()
    deaf.load_state_dict(network.state_dict())
    one, two = run(deaf, rgb, rig, given), run(deaf, other, rig, given)
    assert torch.allclose(one.logits[0], two.logits[0], atol=1e-5) and torch.allclose(one.depth[0], two.depth[0], rtol=1e-5)


def test_given_depth_is_followed_where_it_is_trusted_and_only_there(network):
    rgb, rig, given = inputs(2)
    maps = run(network, rgb, rig, given)
    followed = maps.trust > 0.5
    assert followed.any() and (given > 0)[followed].all()
    assert torch.allclose(maps.depth[followed], given[followed], rtol=1e-5) and (maps.confidence[followed] == 1).all()
    assert torch.allclose(maps.depth[~followed], maps.predicted_depth[~followed], rtol=1e-5)


def test_trust_says_nothing_about_holes(network):
    """It is enlarged with the pictures: what stood in a hole would decide for its neighbours."""
    rgb, rig, given = inputs(2)
    assert (run(network, rgb, rig, given).trust_logits[given == 0] > 0).all()


def test_depth_beyond_the_planes_looks_like_depth_at_the_last_one(network):
    """To the trust: what the planes cannot reach is no contradiction."""
    rgb, rig, given = inputs(2)
    given[:, :, :8] = 5 * FAR
    asked = []
    hook = network.believe.register_forward_pre_hook(lambda _, args: asked.append(args[0]))
    maps = run(network, rgb, rig, given)
    hook.remove()
    off, known = asked[0][:, -2], asked[0][:, -1]
    step = np.log(FAR / NEAR) / (SMALL.planes - 1)
    expected = ((np.log(FAR) - maps.predicted_depth.log()) / step).clamp(-2, 2)
    assert torch.equal(known, (given > 0).float()) and torch.allclose(off[:, :, :8], expected[:, :, :8], atol=1e-3)


def test_a_second_pass_adds_nothing_where_no_other_view_sees(network, monkeypatch):
    rgb, rig, given = inputs(1)
    twice = run(network, rgb, rig, given)
    monkeypatch.setattr(type(network.refine), "PASSES", 1)
    assert torch.equal(run(network, rgb, rig, given).predicted_depth, twice.predicted_depth)
    rgb, rig, given = inputs(3)
    once = run(network, rgb, rig, given)
    monkeypatch.undo()
    assert not torch.equal(run(network, rgb, rig, given).predicted_depth, once.predicted_depth)


def test_given_depth_pulls_the_prediction_towards_it(network):
    rgb, rig, given = inputs(1)
    blind = run(network, rgb, rig, torch.zeros_like(given))
    maps = run(network, rgb, rig, given)
    known = given[:, 2::4, 2::4] > 0
    true = given[:, 2::4, 2::4][known]
    assert ((maps.coarse_depth[known] / true).log().abs().mean()) < 0.5 * (
        (blind.coarse_depth[known] / true).log().abs().mean()
    )


def test_evidence_is_a_bump_at_the_given_depth():
    planes = log_planes(1.0, 16.0, 5, torch.zeros(1))
    found = _evidence(torch.tensor([[[4.0, 0.0, 100.0]]]), planes, float(planes[1] - planes[0]))
    assert found.shape == (1, 6, 1, 3)
    assert found[0, :5, 0, 0].argmax() == 2 and found[0, 2, 0, 0] == 1 and (found[0, :, 0, 1] == 0).all()
    assert found[0, 5, 0].tolist() == [1, 0, 1] and found[0, :5, 0, 2].max() < 0.5


def test_the_local_mean_does_not_mix_two_surfaces():
    planes = log_planes(1.0, 64.0, 13, torch.zeros(1))
    logits = torch.full((1, 13, 1, 1), -20.0)
    logits[0, 2], logits[0, 10] = 0.2, 0.0
    mean, inside = _local_mean(logits, planes)
    assert mean.item() == pytest.approx(planes[2].item(), abs=1e-4) and inside.item() == pytest.approx(0.55, abs=0.01)


@pytest.mark.parametrize("own", [False, True])
def test_gradients_reach_every_parameter(network, own):
    config = replace(SMALL, own_semantics=own)
    trained = models.create(config, seed=1)
    with torch.no_grad():
        for p in trained.parameters():
            if not p.any():
                p.normal_(0, 0.05, generator=torch.Generator().manual_seed(3))
        trained.points.change.bias[10] = 2.0
    rgb, rig, given = inputs(2)
    maps = trained.decode(trained.encode(rgb, rig), rgb, rig, given, NEAR, FAR)
    splats, _ = trained.points.splats(lift(maps, rgb, rig, given), rig)
    generator = torch.Generator().manual_seed(4)
    parts = [*vars(splats).values(), *(getattr(maps, f.name) for f in fields(maps))]
    sum((part * torch.randn(part.shape, generator=generator)).sum() for part in parts if part.requires_grad).backward()
    silent = [name for name, p in trained.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent
    assert all(torch.isfinite(p.grad).all() for p in trained.parameters())
