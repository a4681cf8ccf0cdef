# SPDX-License-Identifier: GPL-3.0-or-later
"""Vision-language models, randomly initialised: dense features against open_clip's own forward, and pictures against its own transform."""

import builtins
import hashlib
import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.model import CLIP, CustomTextCLIP, _build_vision_tower, get_model_preprocess_cfg, resize_pos_embed
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from splatonym.core.errors import InvalidFile, InvalidInput, NotAvailable
from splatonym.server.job import Job
from splatonym.server.semantics.clip import dense, images, models, sources, text

TEXT = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}


def small(image_size=64, patch=16, *, layers=3, quick_gelu=False, custom=None, **vision):
    """A network of open_clip's own classes, small."""
    torch.manual_seed(0)
    vision = {"image_size": image_size, **(vision or {"layers": layers, "width": 64, "head_width": 16, "patch_size": patch})}
    kind = CustomTextCLIP if custom else CLIP
    network = kind(embed_dim=32, vision_cfg=vision, text_cfg=dict(TEXT), quick_gelu=quick_gelu).eval()
    network.visual.image_mean, network.visual.image_std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    network.visual.preprocess_cfg = {"size": image_size, "mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28)}
    return network


TOWERS = {
    "vit": lambda: small(),
    "quick gelu": lambda: small(quick_gelu=True),
    "patch 14": lambda: small(56, 14),
    "pooled by mean": lambda: small(layers=3, width=64, head_width=16, patch_size=16, pool_type="avg"),
    "norm after pooling": lambda: small(layers=3, width=64, head_width=16, patch_size=16, final_ln_after_pool=True),
    "other blocks": lambda: small(layers=3, width=64, head_width=16, patch_size=16, qk_norm=True),
    "siglip": lambda: small(
        224, custom=True, timm_model_name="vit_tiny_patch16_224", timm_pool="map", timm_proj="none"
    ),
    "timm, class token": lambda: small(224, custom=True, timm_model_name="vit_tiny_patch16_224", timm_pool="token", timm_proj="linear"),
    "convnext": lambda: small(64, custom=True, timm_model_name="convnext_atto", timm_pool="", timm_proj="linear"),
    "efficientnet": lambda: small(64, custom=True, timm_model_name="efficientnet_lite0", timm_pool="avg", timm_proj="linear"),
}  # fmt: skip


@pytest.fixture(scope="module")
def towers():
    made = {}

    def of(name):
        if name not in made:
            made[name] = TOWERS[name]()
        return made[name]

    return of


def pictures(side, count=2, seed=1):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", TOWERS)
def test_the_pooled_output_is_open_clips_own(towers, name):
    network = towers(name)
    side = network.visual.image_size[0]
    with torch.inference_mode():
        expected = network.encode_image(pictures(side))
        for attention in ("ordinary", "correlative"):
            found = dense.look(network.visual, pictures(side), attention)
            assert torch.allclose(found.pooled, expected, atol=1e-4, rtol=1e-4)
        step = dense.stride(network.visual)
        assert found.patches.shape == (2, 32 if "siglip" not in name else 192, side // step, side // step)
        assert torch.isfinite(found.patches).all()


@pytest.mark.parametrize("name", ["vit", "quick gelu", "patch 14", "siglip"])
def test_patches_say_what_lies_under_them(towers, name):
    """Change a corner: with like attending to like, what is far from it changes less than what is in it."""
    network = towers(name)
    side, step = network.visual.image_size[0], dense.stride(network.visual)
    one = pictures(side, 1)
    other = one.clone()
    other[:, :, :step, :step] += 3.0
    with torch.inference_mode():
        change = (dense.look(network.visual, one).patches - dense.look(network.visual, other).patches).norm(dim=1)[0]
    assert change[0, 0] == change.max() and change[0, 0] > 2 * change[-1, -1]


@pytest.mark.parametrize("size", [(96, 96), (64, 128), (32, 48)])
def test_positions_for_another_size_are_those_that_open_clip_makes(size):
    network = small()
    larger = small(size)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    resize_pos_embed(state, larger)
    larger.load_state_dict(state)
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        found = dense.look(network.visual, pixels, "ordinary")
        assert torch.allclose(found.pooled, larger.encode_image(pixels), atol=1e-4)
        assert found.patches.shape[2:] == (size[0] // 16, size[1] // 16)


@pytest.mark.parametrize("name", ["vit", "siglip", "convnext"])
def test_half_precision_says_about_the_same(name):
    network = TOWERS[name]()
    side = network.visual.image_size[0]
    with torch.inference_mode():
        full = dense.look(network.visual, pictures(side))
        half = dense.look(network.to(torch.bfloat16).visual, pictures(side).bfloat16())
    assert half.patches.dtype == torch.bfloat16
    alike = F.cosine_similarity(full.patches, half.patches.float(), dim=1)
    assert alike.median() > 0.99


@pytest.mark.parametrize("name", ["vit", "other blocks", "siglip", "timm, class token"])
def test_like_to_like_is_the_blocks_own_attention_where_its_queries_are_its_keys(name):
    network = TOWERS[name]()
    tower, side = network.visual, network.visual.image_size[0]
    with torch.inference_mode():
        if hasattr(tower, "trunk"):
            linear = tower.trunk.blocks[-1].attn.qkv
            weight, bias = linear.weight, linear.bias
        else:
            last = tower.transformer.resblocks[-1]
            weight, bias = last.attn.in_proj_weight, last.attn.in_proj_bias
            bias.normal_()
        width = weight.shape[1]
        weight[:width], bias[:width] = weight[width : 2 * width], bias[width : 2 * width]
        found = dense.look(tower, pictures(side)).patches
        if hasattr(tower, "trunk"):
            expected = dense.look(tower, pictures(side), "ordinary").patches
        else:  # of the block only what it gathers remains
            gathered = []
            last.attn.register_forward_hook(
                lambda module, given, out: gathered.append(out[0] if isinstance(out, tuple) else out)
            )
            tower(pictures(side))
            expected = (tower.ln_post(gathered[0][:, 1:]) @ tower.proj).transpose(1, 2).reshape(found.shape)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-B-16-quickgelu", "ViT-B-32-256", "ViT-B-16-SigLIP", "convnext_base_w"])
def test_towers_as_open_clip_configures_them(name):
    """Of their real sizes, with random weights and without the text side."""
    about = open_clip.get_model_config(name)
    torch.manual_seed(0)
    tower = _build_vision_tower(about["embed_dim"], about["vision_cfg"], about.get("quick_gelu", False)).eval()
    side, step = about["vision_cfg"]["image_size"], dense.stride(tower)
    wide = torch.randn(1, 3, 2 * step, 3 * step, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        found = dense.look(tower, pictures(side, 1), "ordinary")
        assert torch.allclose(found.pooled, tower(pictures(side, 1)), atol=1e-4)
        assert found.patches.shape == (1, about["embed_dim"], side // step, side // step)
        full = dense.look(tower, wide).patches
        assert full.shape == (1, about["embed_dim"], 2, 3)
        for dtype in (torch.bfloat16, torch.float16):
            half = dense.look(tower.to(dtype), wide.to(dtype)).patches
            assert half.dtype == dtype and F.cosine_similarity(full, half.float(), dim=1).median() > 0.99


def test_an_unknown_tower_is_refused():
    with pytest.raises(NotAvailable, match="'Linear'"):
        dense.look(torch.nn.Linear(1, 1), pictures(8))
    coca = small(layers=2, width=64, head_width=16, patch_size=16, attentional_pool=True, attn_pooler_heads=2)
    with pytest.raises(NotAvailable, match="CoCa"):
        dense.look(coca.visual, pictures(64))


# Whole models


@pytest.fixture(scope="module")
def clip():
    return models.wrap("small", "0", small(), open_clip.SimpleTokenizer(context_length=24))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(64, 64), (100, 100), (37, 37), (100, 150), (150, 75), (40, 60)])
@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_pictures_are_prepared_as_the_models_own_transform_does(size, interpolation, mode):
    """For "shortest" it cuts the middle out of what is resized here."""
    network = small()
    network.visual.preprocess_cfg |= {"interpolation": interpolation, "resize_mode": mode}
    clip = models.wrap("small", "0", network, None)
    own = image_transform_v2(PreprocessCfg(**get_model_preprocess_cfg(network)), is_train=False)
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    height, width = images.fitted_size(*size, 64, 16) if mode == "shortest" else (64, 64)
    found = clip.normalised(images.resized(rgb, height, width, clip.bicubic))
    top, left = (height - 64) // 2, (width - 64) // 2
    assert torch.allclose(found[:, top : top + 64, left : left + 64], own(Image.fromarray(rgb)), atol=1e-6)


def test_texts_are_unit_vectors_and_remembered(clip):
    vectors = clip.encode_texts(["a red chair", "a lamp", "a red chair"])
    assert vectors.shape == (3, 32) and torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.equal(vectors[0], vectors[2]) and not torch.allclose(vectors[0], vectors[1])
    assert clip.encode_texts([]).shape == (0, 32)


@pytest.mark.parametrize("words", ["", "   ", "very " * 40 + "long"])
def test_texts_that_cannot_be_read_are_refused(clip, words):
    with pytest.raises(InvalidInput):
        clip.encode_texts(["a lamp", words])


def test_names_are_means_over_prompts_and_other_words(clip):
    one = text.name_vectors(clip, ["sofa"], {"sofa": ["couch"]}, ("{}", "a {}"))
    mean = clip.encode_texts(["sofa", "a sofa", "couch", "a couch"]).mean(0)
    assert torch.allclose(one[0], mean / mean.norm(), atol=1e-6)


def test_relevancy_is_high_for_what_is_nearer_the_question_than_any_canonical_phrase():
    axes = torch.eye(4)
    found = text.relevancy(axes, axes[:1], axes[1:3])
    assert found.shape == (4, 1) and found[0, 0] > 0.99 and found[1, 0] < 0.01 and found[3, 0] == 0.5


@settings(deadline=None, max_examples=25)
@given(st.integers(8, 300), st.integers(8, 300), st.integers(32, 200))
def test_fitted_sizes_cover_and_windows_lie_inside(height, width, shorter):
    rows, columns = images.fitted_size(height, width, max(shorter, 64), 16)
    assert rows % 16 == columns % 16 == 0 and min(rows, columns) >= 64
    for length in (rows, columns):
        begins = images.starts(length, 64, 16)
        assert begins[0] == 0 and begins[-1] + 64 == length and all(b % 16 == 0 for b in begins)
        assert all(b - a <= 64 for a, b in pairwise(begins))


@pytest.mark.parametrize("size", [(64, 64), (48, 120), (160, 90)])
def test_dense_maps_cover_the_picture_with_unit_vectors(clip, size):
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = images.dense_map(clip, rgb, Job(), patches=6)
    assert found.shape[0] == 32 and min(found.shape[1:]) >= 6
    assert torch.allclose(found.norm(dim=0), torch.ones(found.shape[1:]), atol=1e-4)


def test_regions_are_seen_alone_and_with_what_is_around(clip):
    rgb = np.full((40, 60, 3), 200, np.uint8)
    rgb[10:20, 30:50] = (200, 30, 30)
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    found = images.describe_regions(clip, rgb, [mask, mask], Job())
    assert found.specific.shape == found.context.shape == (2, 32)
    assert torch.allclose(found.specific[0], found.specific[1], atol=1e-5)
    elsewhere = rgb.copy()
    elsewhere[:8] = 0
    again = images.describe_regions(clip, elsewhere, [mask], Job())
    assert torch.allclose(again.specific[0], found.specific[0], atol=1e-5), "what is around does not matter to it"
    assert not torch.allclose(again.context[0], found.context[0], atol=1e-4)


def test_a_square_reaches_over_the_border():
    rgb = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    found = images.square(rgb, (0, 4, 0, 6), 1.0, np.array([9, 9, 9], np.uint8))
    assert found.shape == (6, 6, 3) and (found[0] == 9).all() and (found[1:5] == rgb).all()


# Loading


ABOUT = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 3, "width": 64, "head_width": 16, "patch_size": 16},
    "text_cfg": TEXT,
}


def folder_of(folder, networks):
    """A model's folder with weights by file name."""
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": ABOUT, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}})
    )
    for file, network in networks.items():
        state = {key: value.contiguous() for key, value in network.state_dict().items()}
        save_file(state, folder / file) if file.endswith(".safetensors") else torch.save(state, folder / file)
    return str(folder)


def test_a_folder_loads_through_open_clip_like_any_other(tmp_path, caplog):
    network = small()
    clip = models.load(folder_of(tmp_path, {"open_clip_model.safetensors": network}))
    assert clip.size == 64 and clip.dim == 32 and clip.stride == 16 and clip.context == 24 and clip.mean == (0.5, 0.5, 0.5)
    with torch.inference_mode():
        assert torch.allclose(clip.network.encode_image(pictures(64)), network.encode_image(pictures(64)), atol=1e-5)
    assert models.load(str(tmp_path)) is clip, "the last one is kept"
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    "files",
    [
        ("aaa.safetensors", "open_clip_model.safetensors"),
        ("aaa.safetensors", "open_clip_pytorch_model.bin"),
        ("aaa.bin", "bbb.safetensors"),
        ("model.pth", "zzz.safetensors"),
        ("aaa.pth", "bbb.pth"),
    ],
)
def test_of_several_weights_those_are_loaded_whose_hash_is_the_key(tmp_path, files):
    torch.manual_seed(1)
    networks = {file: small() for file in files}
    for network in networks.values():
        torch.nn.init.normal_(network.visual.proj)
    clip = models.load(folder_of(tmp_path, networks))
    chosen = sources.locate(str(tmp_path)).weights
    assert str(chosen) == open_clip.factory._find_checkpoint_in_dir(tmp_path), "as open_clip itself would"
    assert torch.equal(clip.network.visual.proj, networks[chosen.name].visual.proj)
    assert clip.key == hashlib.sha256(chosen.read_bytes()).hexdigest()[:16]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_model_in_half_precision_says_about_the_same(tmp_path, precision):
    folder = folder_of(tmp_path, {"model.safetensors": small()})
    full = models.load(folder)
    half = models.load(folder, precision=precision)
    assert half is not full and half.dtype == {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    for ask in (
        lambda clip: clip.encode_pictures(pictures(64)),
        lambda clip: clip.encode_texts(["a lamp", "a red chair"]),
        lambda clip: clip.look(pictures(64)).patches,
        lambda clip: clip.look(pictures(64), "ordinary").pooled,
    ):
        assert ask(half).dtype == torch.float32
        assert F.cosine_similarity(ask(full), ask(half), dim=1).min() > 0.99


def test_weights_that_changed_are_loaded_anew(tmp_path):
    first = models.load(folder_of(tmp_path, {"model.safetensors": small()}))
    network = small()
    torch.nn.init.ones_(network.visual.proj)
    again = models.load(folder_of(tmp_path, {"model.safetensors": network}))
    assert again.key != first.key and torch.equal(again.network.visual.proj, network.visual.proj)


@pytest.mark.parametrize(
    "name, mean, quick",
    [
        ("ViT-B-16/laion2b_s34b_b88k", open_clip.OPENAI_DATASET_MEAN, False),
        ("ViT-L-14/laion2b_s32b_b82k", (0.5, 0.5, 0.5), False),
        ("ViT-B-32/openai", open_clip.OPENAI_DATASET_MEAN, True),
    ],
)
def test_named_weights_are_used_as_they_were_trained(tmp_path, monkeypatch, name, mean, quick):
    """Built by open_clip with the preparation of pictures and the activation that belong to the weights, not to the architecture."""
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    monkeypatch.setattr(sources, "_cached", lambda repository, file: str(tmp_path / "weights.safetensors"))
    asked = {}
    monkeypatch.setattr(open_clip, "create_model", lambda *given, **more: asked.update(more) or 1 / 0)
    with pytest.raises(InvalidFile):
        models.load(name)
    assert asked["force_preprocess_cfg"]["mean"] == mean and asked["force_quick_gelu"] is quick
    assert not asked["load_weights"] and not asked["pretrained_text"]


def test_a_machine_without_room_is_told_of_a_smaller_model(tmp_path, monkeypatch):
    numbers = sum(value.numel() for value in small().state_dict().values())
    folder = folder_of(tmp_path, {"open_clip_model.safetensors": small().half()})
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=int(1.29 * 4 * numbers)))
    with pytest.raises(NotAvailable, match=r"needs \d+ MB of memory, and \d+ MB are free") as caught:
        models.load(folder)
    assert "'tiny'" in caught.value.hint
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=int(1.31 * 4 * numbers)))
    assert models.load(folder).dim == 32
    torch.save(small().state_dict(), tmp_path / "w.bin")
    assert models._needed(tmp_path / "w.bin") > 2 * 4 * numbers, "what was pickled is in memory twice"


class Code:
    def __reduce__(self):
        return exec, ("import builtins; builtins.was_run = True",)


def test_weights_run_no_code(tmp_path):
    folder_of(tmp_path, {})
    torch.save({"state_dict": Code()}, tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(InvalidFile, match="cannot be loaded"):
        models.load(str(tmp_path))
    assert not hasattr(builtins, "was_run")


def test_weights_that_are_not_there_are_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NotAvailable, match=r"598 MB, licence MIT\) are not on this machine"):
        models.load(sources.DEFAULT)
    monkeypatch.setattr(sources, "TINY_FOLDER", tmp_path / "tiny")
    with pytest.raises(InvalidFile, match="which ships with Splatonym, is missing"):
        models.load(sources.TINY)


@pytest.mark.parametrize("file, content", [("model.safetensors", b"nonsense"), ("model.bin", b"nonsense"), ("model.bin", b"")])
def test_broken_weights_are_refused(tmp_path, file, content):
    folder_of(tmp_path, {})
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InvalidFile, match="cannot be loaded"):
        models.load(str(tmp_path))


@pytest.mark.parametrize(
    "about", ["{}", '{"model_cfg": {"embed_dim": 32}}', '{"model_cfg": {"vision_cfg": 1, "text_cfg": {}}}', "?"]
)
def test_a_description_that_is_none_is_refused(tmp_path, about):
    folder_of(tmp_path, {"model.safetensors": small()})
    (tmp_path / "open_clip_config.json").write_text(about)
    with pytest.raises(InvalidFile, match="open_clip_config"):
        models.load(str(tmp_path))
