# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of a scene: their answers spread over the Gaussians, and the file beside the PLY."""

from dataclasses import replace

import numpy as np
import pytest
from splatonym.core.codebook import Codebook, spread
from splatonym.core.errors import InvalidFile, InvalidInput
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.labels import LabelMap
from splatonym.core.protocol import pack_scene, unpack_scene
from splatonym.core.scene import SEMANTICS_NAME, SemanticScene, read_scene, write_scene

RNG = np.random.default_rng(0)


def some_scene(count=50, words=12, dim=16):
    rng = np.random.default_rng(count)
    index = rng.integers(0, words, (count, 4)).astype(np.uint8)
    shares = np.zeros((count, 4), np.uint8)
    shares[:, 0], shares[:, 1] = 200, 55
    shares[0] = 0  # one that no view shows
    quats = rng.normal(size=(count, 4))
    gaussians = GaussianArrays(
        means=rng.normal(size=(count, 3)).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=np.full((count, 3), 0.1, np.float32),
        opacities=np.full(count, 0.5, np.float32),
        sh=np.zeros((count, 1, 3), np.float32),
        label=np.zeros(count, np.int32),
        instance=np.zeros(count, np.int32),
        confidence=np.zeros(count, np.float32),
        words=index,
        shares=shares,
        taught=rng.integers(-1, 2, count).astype(np.int32),
    )
    vectors = rng.normal(size=(2, words, dim)).astype(np.float16)
    labels = LabelMap(("chair", "sofa"), {"sofa": ("couch", "settee")})
    return SemanticScene("room", gaussians, labels, {}, Codebook("model", "key", *vectors))


def same(a, b):
    assert (a.codebook.model, a.codebook.key) == (b.codebook.model, b.codebook.key)
    for name in ("specific", "context"):
        assert np.array_equal(getattr(a.codebook, name), getattr(b.codebook, name))
    for name in ("words", "shares", "taught"):
        one, other = getattr(a.gaussians, name), getattr(b.gaussians, name)
        assert one.dtype == other.dtype and np.array_equal(one, other)
    assert a.labels == b.labels


def test_spreading_is_the_weighted_mean_of_the_words():
    g = some_scene().gaussians
    scores = RNG.random((12, 3)).astype(np.float32)
    expected = (scores[g.words] * (g.shares / 255.0)[..., None]).sum(1)
    assert np.allclose(spread(g.words, g.shares, scores), expected, atol=1e-5)
    assert np.allclose(spread(g.words, g.shares, scores[:, 0]), expected[:, 0], atol=1e-5)
    assert spread(g.words[:0], g.shares[:0], scores).shape == (0, 3)
    assert not spread(g.words, g.shares, scores[:0]).any()


def test_a_gaussian_takes_at_most_32_bytes():
    g = some_scene().gaussians
    assert (g.words.nbytes + g.shares.nbytes + g.taught.nbytes) / len(g) <= 32


def test_a_scene_comes_back_bit_by_bit_from_disk_and_over_the_wire(tmp_path):
    scene = some_scene()
    write_scene(tmp_path, scene)
    same(read_scene(tmp_path), scene)
    same(unpack_scene(*pack_scene(scene)), scene)


def test_a_scene_without_words_leaves_none_of_another_behind(tmp_path):
    scene = some_scene()
    write_scene(tmp_path, scene)
    plain = replace(scene, codebook=None, gaussians=replace(scene.gaussians, words=None, shares=None, taught=None))
    write_scene(tmp_path, plain)
    assert not (tmp_path / SEMANTICS_NAME).exists() and read_scene(tmp_path).codebook is None


def test_a_file_of_other_gaussians_is_refused(tmp_path):
    write_scene(tmp_path / "a", some_scene(50))
    write_scene(tmp_path / "b", some_scene(51))
    (tmp_path / "b" / SEMANTICS_NAME).replace(tmp_path / "a" / SEMANTICS_NAME)
    with pytest.raises(InvalidFile, match="the scene has 50 Gaussians"):
        read_scene(tmp_path / "a")


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\xff" * 64])
def test_a_damaged_file_is_refused(tmp_path, damage):
    write_scene(tmp_path, some_scene())
    (tmp_path / SEMANTICS_NAME).write_bytes(damage)
    with pytest.raises(InvalidFile, match="safetensors block"):
        read_scene(tmp_path)


def test_words_outside_of_the_codebook_are_refused(tmp_path):
    scene = some_scene()
    short = replace(scene, codebook=Codebook("m", "k", scene.codebook.specific[:2], scene.codebook.context[:2]))
    with pytest.raises(InvalidInput, match="the codebook has 2"):
        short.validate_words()
    write_scene(tmp_path, short)
    with pytest.raises(InvalidFile, match="does not fit"):
        read_scene(tmp_path)


def test_a_codebook_of_another_version_or_shape_is_refused():
    book = some_scene().codebook
    with pytest.raises(InvalidInput, match="too long"):
        Codebook("m", "k", np.zeros((257, 4), np.float16), np.zeros((257, 4), np.float16)).validate()
    with pytest.raises(InvalidInput, match="context words"):
        replace(book, context=book.context[:3]).validate()
    with pytest.raises(InvalidInput, match="not finite"):
        replace(book, specific=book.specific * np.float16(np.inf)).validate()
    with pytest.raises(InvalidFile, match="not a codebook of this version"):
        Codebook.from_bytes(book.to_bytes().replace(b'"format": "1"', b'"format": "9"'))
