# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions by SAM: masks to one map and refusals everywhere; small random models, saved and loaded, where transformers is installed."""

import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.errors import Cancelled, InvalidFile, NotAvailable
from splatonym.core.wire.errors import OutOfMemory
from splatonym.server.job import Job
from splatonym.server.semantics import sam as sams
from splatonym.server.semantics.sam import KNOWN, Sam, SamOptions, distinct, region_map, regions

ANY = SamOptions(points=4, fit=-1e9, stability=0.0, overlap=0.7, at_once=8)
"""What a model that was never trained says is taken as it is."""


def boxes(height, width, *corners):
    """Masks [height, width] that are true in rows a..b and columns c..d."""
    out = []
    for a, b, c, d in corners:
        mask = np.zeros((height, width), bool)
        mask[a:b, c:d] = True
        out.append(mask)
    return out


# masks -> one map


@pytest.mark.parametrize("turn", [1, -1])
def test_smaller_masks_lie_on_larger_ones_in_whatever_order_they_come(turn):
    masks = boxes(30, 40, (0, 30, 0, 20), (5, 15, 5, 15), (8, 12, 8, 12))[::turn]
    found = region_map(masks, 30, 40, 4)
    assert found.dtype == np.int32
    assert found[0, 30] == 0  # where no mask lies
    assert len({found[0, 0], found[6, 6], found[10, 10]} - {0}) == 3
    assert (found == found[6, 6]).sum() == 100 - 16


def test_small_pieces_and_small_gaps_go_to_their_surroundings():
    wall, chair = boxes(30, 40, (0, 30, 0, 40), (10, 20, 10, 20))
    chair[2, 30:32] = True  # a piece of the chair's mask far away, on the wall
    wall[25, 5] = False  # and a hole in the wall's
    found = region_map([wall, chair], 30, 40, 4)
    assert found[2, 30] == found[0, 0] == found[25, 5] != found[15, 15] != 0
    assert set(np.unique(found)) == {1, 2}


def test_a_mask_cut_in_two_stays_one_region_and_a_small_one_is_none():
    wall, pillar, speck = boxes(20, 30, (0, 20, 0, 30), (0, 20, 14, 16), (5, 6, 3, 5))
    found = region_map([wall, pillar, speck], 20, 30, 3)
    assert found[0, 0] == found[0, 29] == found[5, 3] != found[0, 15]
    assert set(np.unique(found)) == {1, 2}


def test_no_masks_and_one_mask():
    assert not region_map([], 6, 5, 3).any()
    assert (region_map(boxes(6, 5, (0, 6, 0, 5)), 6, 5, 3) == 1).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 6), st.integers(1, 12))
def test_every_map_is_whole(seed, count, least):
    dice = np.random.default_rng(seed)
    masks = [dice.random((17, 23)) < 0.5 for _ in range(count)]
    found = region_map(iter(masks), 17, 23, least)
    assert found.shape == (17, 23) and found.min() >= 0
    assert set(np.unique(found)) | {0} == set(range(found.max() + 1))
    names, sizes = np.unique(found, return_counts=True)
    assert (sizes[names > 0] >= least).all()


def test_of_masks_that_show_the_same_the_first_stays():
    masks = torch.from_numpy(
        np.stack(boxes(10, 20, (0, 10, 0, 10), (0, 10, 0, 9), (0, 10, 0, 5), (0, 10, 10, 20), (0, 9, 10, 20)))
    )
    for at_once in (1, 2, 64):
        assert distinct(masks, 0.85, at_once) == [0, 2, 3]
    assert distinct(masks, 0.5) == [0, 3]
    assert distinct(masks, 1.01) == [0, 1, 2, 3, 4]
    assert distinct(masks[:0], 0.7) == []


# what is missing


def test_without_the_package_a_model_is_refused(monkeypatch):
    monkeypatch.setattr(sams.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotAvailable, match="transformers") as caught:
        Sam.load(KNOWN[-1].name)
    assert caught.value.hint == "pip install 'splatonym[sam]'"
    assert sams.available() is None


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """A hub cache with nothing in it, and a machine on which the package is installed."""
    from huggingface_hub import constants, file_download

    for module in (constants, file_download):
        if hasattr(module, "HF_HUB_CACHE"):
            monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(sams, "installed", lambda: True)
    return tmp_path / "hub"


def in_cache(cache, name, *files):
    """A repository's files in the hub's cache, empty."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    (folder / "snapshots" / "c0ffee").mkdir(parents=True)
    for file in files:
        (folder / "snapshots" / "c0ffee" / file).write_text("{}")
    return folder / "snapshots" / "c0ffee"


def test_without_the_weights_it_is_said_how_to_get_them(empty_cache):
    for known in KNOWN:
        with pytest.raises(NotAvailable, match=rf"'{known.name}' \(about {known.megabytes:,} MB\)") as caught:
            Sam.load(known.name)
        assert f"hf download {known.name} config.json model.safetensors" in caught.value.hint
    for name in ("nobody/nothing", "no name/of/a repository", "../up"):
        with pytest.raises(NotAvailable) as caught:
            Sam.load(name)
        assert KNOWN[0].name in caught.value.hint


def test_the_largest_model_that_is_there_is_available(empty_cache):
    assert sams.available() is None
    in_cache(empty_cache, KNOWN[0].name, "config.json")  # without its weights
    small = in_cache(empty_cache, KNOWN[-1].name, "config.json", "model.safetensors")
    assert sams.available() == KNOWN[-1].name
    assert sams.locate(KNOWN[-1].name) == small
    in_cache(empty_cache, KNOWN[1].name, "config.json", "model.safetensors")
    assert sams.available() == KNOWN[1].name
    assert [known.megabytes for known in KNOWN] == sorted((known.megabytes for known in KNOWN), reverse=True)


def test_a_folder_must_hold_a_model(tmp_path):
    with pytest.raises(InvalidFile, match=r"config\.json"):
        sams.locate(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")  # what is pickled does not count
    with pytest.raises(InvalidFile, match="safetensors"):
        sams.locate(str(tmp_path))
    with pytest.raises(InvalidFile):
        sams.locate(str(tmp_path / "elsewhere"))


def test_to_ask_what_is_available_is_cheap():
    code = (
        "import sys; from splatonym.server.semantics import sam; sam.available(); "
        "wrong = {'torch', 'transformers', 'open_clip'} & set(sys.modules); assert not wrong, wrong"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# models


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="the optional package transformers is not installed")


def small_sam(transformers):
    """A model as SamModel has them, with a square of 128 pixels."""
    torch.manual_seed(0)
    vision = {
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 128, "mlp_dim": 32, "output_channels": 32,
        "global_attn_indexes": [1], "window_size": 4, "num_pos_feats": 16, "initializer_range": 0.05,
    }  # fmt: skip
    prompts = {"hidden_size": 32, "image_size": 128}
    decoder = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
    config = transformers.SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    return lively(transformers.SamModel(config))


def small_sam2(transformers, kind="Sam2"):
    """A model as Sam2Model or Sam2VideoModel has them, with a square of 128 pixels."""
    torch.manual_seed(0)
    trunk = {
        "model_type": "sam2_hiera_det_model", "image_size": [128, 128], "hidden_size": 8, "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 4], "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [3],
    }  # fmt: skip
    vision = {
        "backbone_config": trunk, "backbone_channel_list": [64, 32, 16, 8], "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        "fpn_hidden_size": 32,
    }  # fmt: skip
    prompts = {"hidden_size": 32, "image_size": 128}
    decoder = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
    more = {}
    if kind == "Sam2Video":
        more = {
            "image_size": 128, "memory_attention_hidden_size": 32, "memory_attention_feed_forward_hidden_size": 32,
            "memory_encoder_hidden_size": 32, "memory_encoder_output_channels": 16, "mask_downsampler_embed_dim": 32,
            "memory_fuser_embed_dim": 32, "memory_fuser_intermediate_dim": 32, "memory_attention_rope_feat_sizes": [8, 8],
        }  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder, **more
    )
    return lively(getattr(transformers, f"{kind}Model")(config))


def lively(network):
    """Weights so large that masks differ and have edges: with those of a fresh model every mask is the same."""
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.ndim > 1 and "positional" not in name:
                torch.nn.init.normal_(
                    value, std=(20 if "hypernetworks" in name and "proj_out" in name else 1.5) / value[0].numel() ** 0.5
                )
    return network.eval()


MAKERS = {"sam": small_sam, "sam2": small_sam2, "sam2 video": lambda t: small_sam2(t, "Sam2Video")}


@pytest.fixture(scope="module", params=MAKERS)
def saved(request, transformers, tmp_path_factory):
    """(network, the folder that it was saved to)."""
    network = MAKERS[request.param](transformers)
    folder = tmp_path_factory.mktemp("model")
    network.save_pretrained(folder)
    assert [file.name for file in folder.glob("*.safetensors")] == ["model.safetensors"]
    return network, folder


@pytest.fixture(scope="module")
def model(saved):
    return Sam.load(str(saved[1]))


@pytest.fixture(autouse=True)
def no_connection(monkeypatch):
    """Nothing here opens one."""

    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def picture(height=90, width=128, seed=0):
    dice = np.random.default_rng(seed)
    rough = torch.from_numpy(dice.random((1, 3, 6, 8), np.float32))
    smooth = torch.nn.functional.interpolate(rough, (height, width), mode="bicubic")[0].permute(1, 2, 0)
    return (smooth.clamp(0, 1).numpy() * 255).astype(np.uint8)


def test_what_is_loaded_is_what_was_saved(saved, model):
    network, folder = saved
    state = network.state_dict()
    loaded = model.network.state_dict()
    assert loaded and all(torch.equal(value, state[name]) for name, value in loaded.items())
    assert not any(value.requires_grad for value in model.network.parameters())
    assert (model.side, model.name) == (128, str(folder))


@pytest.mark.parametrize("size", [(90, 128), (128, 77), (300, 200), (64, 64)])
def test_pictures_and_points_are_those_of_the_models_own_processor(transformers, model, size):
    rgb = picture(*size)
    if model.stretched:
        processor = transformers.Sam2ImageProcessor(size={"height": 128, "width": 128})
    else:
        processor = transformers.SamImageProcessor(size={"longest_edge": 128}, pad_size={"height": 128, "width": 128})
    own = processor(rgb, return_tensors="pt")["pixel_values"]
    assert model.pixels(rgb).shape == own.shape == (1, 3, 128, 128)
    assert (model.pixels(rgb) - own).abs().max() < 1.02 / 255 / 0.224  # it resizes in whole numbers
    high, wide = model.inside(*size)
    points = model.points(*size, 3)
    assert points.shape == (9, 1, 2)
    assert torch.allclose(points[1, 0], torch.tensor([wide / 2, high / 6]))


def test_the_picture_is_encoded_once_and_its_map_is_whole(model):
    counts = {"encoded": 0, "asked": []}
    encoder, decoder = model.network.vision_encoder, model.network.mask_decoder
    hooks = [
        encoder.register_forward_hook(lambda *_: counts.update(encoded=counts["encoded"] + 1)),
        decoder.register_forward_hook(lambda *given: counts["asked"].append(given[-1][1].shape[1])),
    ]
    seen = []
    job = Job(lambda stage, fraction, text: seen.append(fraction))
    found = regions(model, picture(), job, replace(ANY, at_once=6), span=(0.5, 1.0))
    for hook in hooks:
        hook.remove()
    assert counts == {"encoded": 1, "asked": [6, 6, 4]}
    assert seen == [0.5, 0.5 + 0.5 * 6 / 16, 0.5 + 0.5 * 12 / 16]
    assert found.shape == (90, 128) and found.dtype == np.int32 and found.min() >= 0
    assert found.max() > 1
    assert set(np.unique(found)) | {0} == set(range(found.max() + 1))


def test_regions_are_the_same_again_and_in_smaller_batches(model):
    first = regions(model, picture(), Job(), ANY)
    assert np.array_equal(first, regions(model, picture(), Job(), ANY))
    in_ones = regions(model, picture(), Job(), replace(ANY, at_once=1))
    assert (first == in_ones).mean() > 0.9
    assert not np.array_equal(first, regions(model, picture(seed=1), Job(), ANY))


def test_masks_are_those_of_the_models_own_way(transformers, model):
    """One point through transformers' own processor and forward, against the same point of a grid of one."""
    rgb = picture(70, 128)
    if model.stretched:
        processor = transformers.Sam2Processor(
            transformers.Sam2ImageProcessor(size={"height": 128, "width": 128}), target_size=128
        )
    else:
        own = transformers.SamImageProcessor(size={"longest_edge": 128}, pad_size={"height": 128, "width": 128})
        processor = transformers.SamProcessor(own)
        processor.target_size = 128
    inputs = processor(rgb, input_points=[[[[64.0, 35.0]]]] if model.stretched else [[[64.0, 35.0]]], return_tensors="pt")
    with torch.inference_mode():
        told = model.network(pixel_values=inputs["pixel_values"], input_points=inputs["input_points"].float())
        if model.stretched:
            theirs = processor.post_process_masks(told.pred_masks, inputs["original_sizes"])[0]
        else:
            theirs = processor.post_process_masks(told.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"])[0]
        logits = sams._masks(model, rgb, replace(ANY, points=1), Job(), (0.0, 1.0))
    ours = list(sams._enlarged(model, logits, 70, 128))
    order = told.iou_scores.flatten().argsort(descending=True, stable=True)
    theirs = [mask for mask in theirs[0][order].numpy() if mask.any()]
    assert len(ours) == len(theirs) > 0
    for mine, their in zip(ours, theirs, strict=True):
        assert (mine == their).mean() > 0.97


def test_thresholds_leave_less(model):
    def count(**changes):
        with torch.inference_mode():
            return len(sams._masks(model, picture(), replace(ANY, **changes), Job(), (0.0, 1.0)))

    assert count() > count(stability=0.9) > 0
    assert count(fit=1e9) == 0
    assert not regions(model, picture(), Job(), replace(ANY, fit=1e9)).any()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (7, 5)])
def test_small_and_narrow_pictures(model, size):
    assert regions(model, picture(*size), Job(), ANY).shape == size


def test_cancelled_before_and_between_batches(model):
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        regions(model, picture(), job, ANY)
    job = Job(lambda stage, fraction, text: job.cancel() if fraction > 0.4 else None)
    with pytest.raises(Cancelled):
        regions(model, picture(), job, ANY)


def test_cancelled_while_the_picture_is_encoded(model):
    job = Job()
    layers = model.network.vision_encoder.get_submodule("backbone.blocks" if model.stretched else "layers")
    ran = []
    hooks = [
        layers[0].register_forward_hook(lambda *_: job.cancel()),
        layers[1].register_forward_hook(lambda *_: ran.append(1)),
    ]
    with pytest.raises(Cancelled):
        regions(model, picture(), job, ANY)
    for hook in hooks:
        hook.remove()
    assert not ran


def test_a_cancel_is_honoured_soon(model):
    regions(model, picture(), Job(), ANY)  # what is compiled once is compiled now
    job, stopped = Job(), []
    threading.Timer(0.3, lambda: (stopped.append(time.perf_counter()), job.cancel())).start()
    with pytest.raises(Cancelled):
        while True:
            regions(model, picture(), job, replace(ANY, points=32))
    assert time.perf_counter() - stopped[0] < 0.5


def test_with_little_memory_fewer_points_are_asked_at_once(model, monkeypatch):
    whole = regions(model, picture(), Job(), ANY)
    forward, asked = model.network.forward, []

    def poor(most, error):
        def inner(*args, input_points, **kwargs):
            if input_points.shape[1] > most:
                raise error
            asked.append(input_points.shape[1])
            return forward(*args, input_points=input_points, **kwargs)

        monkeypatch.setattr(model.network, "forward", inner)

    for error in (
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("can't allocate memory: you tried"),
        MemoryError(),
    ):
        asked.clear()
        poor(3, error)
        assert (regions(model, picture(), Job(), ANY) == whole).mean() > 0.9
        assert asked == [2] * 8
        poor(0, error)
        with pytest.raises(OutOfMemory, match="not enough memory") as caught:
            regions(model, picture(), Job(), ANY)
        assert caught.value.hint
    poor(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        regions(model, picture(), Job(), ANY)


def test_a_model_of_the_hubs_cache_is_loaded_by_its_name(transformers, empty_cache):
    folder = in_cache(empty_cache, KNOWN[-1].name)
    small_sam(transformers).save_pretrained(folder)
    assert sams.available() == KNOWN[-1].name
    model = Sam.load(KNOWN[-1].name)
    assert (model.name, model.side, model.stretched) == (KNOWN[-1].name, 128, False)


@pytest.mark.parametrize("left_out", ["shared_image_embedding.", "prompt_encoder.shared_embedding."])
def test_weights_that_are_tied_need_be_there_once(transformers, tmp_path, left_out):
    network = small_sam(transformers)
    state = network.state_dict()
    kept = {name: value.clone() for name, value in state.items() if not name.startswith(left_out)}
    assert len(kept) == len(state) - 1
    network.config.save_pretrained(tmp_path)
    save(kept, tmp_path / "model.safetensors")
    loaded = Sam.load(str(tmp_path)).network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def save(state, path):
    from safetensors.torch import save_file

    save_file(state, path, {"format": "pt"})


def test_broken_and_other_models_are_refused(transformers, tmp_path):
    network = small_sam(transformers)

    def refused(match):
        with pytest.raises(InvalidFile, match=match) as caught:
            Sam.load(str(tmp_path))
        assert "\n" not in caught.value.message

    network.save_pretrained(tmp_path)
    config, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    refused("cannot be loaded")
    weights.write_bytes(b"no such thing")
    refused("cannot be loaded")
    state = {name: value.clone() for name, value in network.state_dict().items()}
    save({name: value for name, value in state.items() if "mask_tokens" not in name}, weights)
    refused("1 weights are missing, 'mask_decoder.mask_tokens.weight' first")
    save({**state, "mask_decoder.mask_tokens.weight": torch.zeros(4, 31)}, weights)
    refused("cannot be loaded")
    save(state, weights)
    about = json.loads(config.read_text())
    for text in ("{", "[]", "{}", json.dumps({**about, "model_type": "clip"})):
        config.write_text(text)
        refused("cannot be loaded")
