# SPDX-License-Identifier: GPL-3.0-or-later
"""Crops with what is true of them, and the small vision-language model that learns from those."""

import numpy as np
import pytest
import torch
from splatonym.server.semantics.clip import models
from splatonym.server.training import tiny_clip
from splatonym.server.training.pairs import COLOURS, Caption, Thing, caption, colour_of, cut, truth, words_of


def thing(words, colour=None, shade=(120, 120, 120), held_out=False):
    rgb = np.full((60, 60, 3), 200, np.uint8)
    mask = np.zeros((60, 60), bool)
    mask[10:50, 20:40] = True
    rgb[mask] = shade
    return Thing(rgb, mask, words, colour, held_out)


@pytest.mark.parametrize(
    "name, kind, words",
    [
        ("Little lamp", "lamp", ("little lamp", "lamp")),
        ("Chair with cushion", "chair", ("chair",)),
        ("Apple iMac 1998", "tv", ("apple imac", "imac", "tv", "television")),
        ("Sofa 2 seats", "sofa", ("sofa seats", "sofa", "seats", "couch")),
        ("Beer bottle", "small_object", ("beer bottle", "bottle")),
    ],
)
def test_words_of_a_catalogue_name(name, kind, words):
    assert words_of(name, kind) == words


def test_captions_are_true_of_what_they_say_and_of_nothing_else():
    red, plain, blue = thing(("armchair", "chair"), "red"), thing(("chair",)), thing(("sofa", "couch"), "blue")
    captions = [
        Caption("a chair", "chair", None),
        Caption("a red chair", "chair", "red"),
        Caption("a blue couch", "couch", "blue"),
    ]
    expected = [[1, 1, 0], [1, np.nan, 0], [0, 0, 1]]
    assert np.array_equal(truth([red, plain, blue], captions), np.array(expected, np.float32), equal_nan=True)
    rng = np.random.default_rng(0)
    for one in (red, plain, blue):
        drawn = [caption(one, rng) for _ in range(60)]
        assert all(said.fits(one) == 1 and said.word in said.text for said in drawn)
        assert {said.colour for said in drawn} == ({one.colour, None} if one.colour else {None})


@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_told_by_their_middle(name):
    one = thing(("box",), shade=COLOURS[name])
    assert colour_of(one.rgb, one.mask) == name


def test_a_thing_of_many_colours_has_none():
    one = thing(("rug",))
    one.rgb[one.mask] = np.array(list(COLOURS.values()), np.uint8)[np.arange(one.mask.sum()) % len(COLOURS)]
    assert colour_of(one.rgb, one.mask) is None


def test_cutting_keeps_a_margin_inside_the_picture():
    one = thing(("box",))
    rgb, mask = cut(one.rgb, one.mask, margin=0.2)
    assert rgb.shape[:2] == mask.shape == (40 + 2 * 8, 20 + 2 * 8) and mask.sum() == one.mask.sum()
    assert cut(one.rgb, one.mask, margin=9.0)[0].shape == one.rgb.shape


def test_the_loss_is_of_what_is_known():
    logits = torch.tensor([[5.0, 0.0, 7.0], [0.0, 5.0, 0.0]])
    fits = torch.tensor([[1.0, 0.0, float("nan")], [1.0, 1.0, 0.0]])
    first = -torch.log_softmax(torch.tensor([5.0, 0.0]), 0)[0]  # what nobody knows is left out
    second = -torch.logsumexp(torch.log_softmax(torch.tensor([0.0, 5.0, 0.0]), 0)[:2], 0)
    assert tiny_clip.contrast(logits, fits) == pytest.approx(float((first + second) / 2), abs=1e-5)


def test_two_things_are_learned_and_exported_as_open_clip_loads_them(tmp_path):
    things = [thing(("lamp",), None, (240, 220, 90)), thing(("sofa", "couch"), "blue", COLOURS["blue"])]
    run = tiny_clip.TinyTrainer(things, [], tmp_path, steps=6, batch=8)
    told = list(run.run())
    assert len(told) == 6 and all(np.isfinite(step["loss"]) for step in told)
    again = tiny_clip.TinyTrainer(things, [], tmp_path, steps=6, batch=8)
    assert again.resume() and again.step == 6
    assert tiny_clip.export(tmp_path / "last.pt", tmp_path / "out") < 15e6
    clip = models.load(str(tmp_path / "out"))
    assert (clip.size, clip.dim, clip.stride, clip.context) == (128, 128, 32, 24)
    assert set(tiny_clip.judge(tmp_path / "out", things)) == {"top1", "pictures", "names"}


def test_the_backbone_takes_imagenet_weights():
    """Names as in the package's file; its numbers are drawn here."""
    network = tiny_clip.create()
    trunk = network.visual.trunk
    state = {}
    blocks = [block for stage in trunk.blocks for block in stage]

    def add(prefix, module):
        state.update(
            {f"{prefix}.{key}": torch.rand_like(value.float()).to(value.dtype) for key, value in module.state_dict().items()}
        )

    for prefix, module in (
        ("_conv_stem", trunk.conv_stem),
        ("_bn0", trunk.bn1),
        ("_conv_head", trunk.conv_head),
        ("_bn1", trunk.bn2),
    ):
        add(prefix, module)
    for number, block in enumerate(blocks):
        wide = hasattr(block, "conv_pwl")
        add(f"_blocks.{number}._depthwise_conv", block.conv_dw)
        add(f"_blocks.{number}._bn1", block.bn2 if wide else block.bn1)
        add(f"_blocks.{number}._project_conv", block.conv_pwl if wide else block.conv_pw)
        add(f"_blocks.{number}._bn2", block.bn3 if wide else block.bn2)
        if wide:
            add(f"_blocks.{number}._expand_conv", block.conv_pw)
            add(f"_blocks.{number}._bn0", block.bn1)
    tiny_clip.load_imagenet(network, state)
    assert torch.equal(trunk.conv_stem.weight, state["_conv_stem.weight"])
    assert torch.equal(blocks[3].conv_pwl.weight, state["_blocks.3._project_conv.weight"])
    assert torch.equal(blocks[0].conv_dw.weight, state["_blocks.0._depthwise_conv.weight"])
