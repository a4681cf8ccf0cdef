# SPDX-License-Identifier: GPL-3.0-or-later
"""The backbone against convolutions followed by batch normalisation, padded by TensorFlow's rule."""

import pytest
import torch
import torch.nn.functional as F
from splatonym.server.models.backbone import CHANNELS, Backbone

# stage by stage as Tan and Le write it: repeats, kernel, stride, expansion, channels
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192))


def blocks():
    """(before, after, kernel, stride, expansion) of every block."""
    before = 32
    for repeats, kernel, stride, expansion, after in STAGES:
        for number in range(repeats):
            yield before, after, kernel, stride if number == 0 else 1, expansion
            before = after


def random_state(seed):
    """Names as in the published file, numbers at random, normalisation far from neutral."""
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def add(conv, norm, before, after, kernel, groups=1):
        shape = (after, before // groups, kernel, kernel)
        fan = shape[1] * kernel * kernel
        state[conv + ".weight"] = torch.randn(shape, generator=generator) * (2 / fan) ** 0.5
        state[norm + ".weight"] = 0.5 + torch.rand(after, generator=generator)
        state[norm + ".bias"] = 0.3 * torch.randn(after, generator=generator)
        state[norm + ".running_mean"] = 0.3 * torch.randn(after, generator=generator)
        state[norm + ".running_var"] = 0.3 + torch.rand(after, generator=generator)

    add("_conv_stem", "_bn0", 3, 32, 3)
    for number, (before, after, kernel, _, expansion) in enumerate(blocks()):
        name, wide = f"_blocks.{number}.", before * expansion
        if expansion > 1:
            add(name + "_expand_conv", name + "_bn0", before, wide, 1)
        add(name + "_depthwise_conv", name + "_bn1", wide, wide, kernel, wide)
        add(name + "_project_conv", name + "_bn2", wide, after, 1)
    return state


def same(x, weight, stride, groups=1):
    """A convolution padded as TensorFlow's "SAME": as much as needed, the odd pixel at the lower right."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        whole = max((-(-size // stride) - 1) * stride + weight.shape[-1] - size, 0)
        pads += [whole // 2, whole - whole // 2]
    return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)


def reference(state, rgb):
    """All outputs of the stages' last blocks."""

    def step(x, conv, norm, stride=1, groups=1):
        y = same(x, state[conv + ".weight"], stride, groups)
        names = (".running_mean", ".running_var", ".weight", ".bias")
        return F.batch_norm(y, *(state[norm + n] for n in names), eps=1e-3)

    x = F.relu6(step((rgb * 255 - 127) / 128, "_conv_stem", "_bn0", 2))
    outputs = []
    for number, (before, after, _, stride, expansion) in enumerate(blocks()):
        name, y = f"_blocks.{number}.", x
        if expansion > 1:
            y = F.relu6(step(y, name + "_expand_conv", name + "_bn0"))
        y = F.relu6(step(y, name + "_depthwise_conv", name + "_bn1", stride, before * expansion))
        y = step(y, name + "_project_conv", name + "_bn2")
        x = x + y if stride == 1 and before == after else y
        outputs.append(x)
    return [outputs[number] for number in (0, 2, 4, 10, 14)]


@pytest.mark.parametrize("size", [(64, 96), (32, 32)])
def test_folded_weights_equal_convolution_and_normalisation(size):
    state = random_state(1)
    backbone = Backbone().eval()
    backbone.load_imagenet(state)
    rgb = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for found, true in zip(backbone(rgb), reference(state, rgb), strict=True):
            assert found.shape == true.shape
            assert (found - true).abs().max() < 1e-4 * true.abs().max()


def test_levels_halve_and_stay_channels_last():
    backbone = Backbone().to(memory_format=torch.channels_last)
    rgb = torch.rand(2, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    levels = backbone(rgb)
    assert [tuple(level.shape) for level in levels] == [(2, c, 64 >> k, 96 >> k) for k, c in enumerate(CHANNELS, 1)]
    assert all(level.is_contiguous(memory_format=torch.channels_last) for level in levels)


def test_every_weight_of_the_file_is_needed():
    state = random_state(1)
    for name in ("_conv_stem.weight", "_blocks.3._bn1.running_var", "_blocks.14._project_conv.weight"):
        with pytest.raises(KeyError, match=name.replace(".", r"\.")):
            Backbone().load_imagenet({key: value for key, value in state.items() if key != name})
