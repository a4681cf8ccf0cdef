# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments, things and codebooks: each against what it must be for data whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.errors import InvalidFile, InvalidInput
from splatonym.server.semantics import codebook as codebooks
from splatonym.server.semantics.codebook import Codebook, pairs
from splatonym.server.semantics.instances import ViewRegions, join
from splatonym.server.semantics.questions import Question, name, score, threshold, whole_things
from splatonym.server.semantics.segments import oklab, segments
from splatonym.tests import synthetic

# Segments


def agreement(found, true):
    """Share of the pixels in regions of which most are of the pixel's own thing."""
    table = np.zeros((found.max() + 1, true.max() + 1), int)
    np.add.at(table, (found.reshape(-1), true.reshape(-1)), 1)
    return table.max(1).sum() / table.sum()


@pytest.mark.parametrize("with_depth", [True, False])
def test_segments_keep_things_apart(with_depth):
    for view in synthetic.views(3, (96, 96)):
        found = segments(view if with_depth else replace(view, depth=None))
        assert found.shape == view.rgb.shape[:2] and found.dtype == np.int32 and found.min() >= 1
        assert 3 <= len(np.unique(found)) <= 200
        assert agreement(found, view.index) > (0.97 if with_depth else 0.9)


def test_a_plain_picture_is_one_region():
    view = synthetic.views(1, (40, 40))[0]
    plain = replace(view, rgb=np.full((40, 40, 3), 90, np.uint8), depth=None)
    assert (segments(plain) == 1).all()


def test_pixels_without_depth_belong_to_nothing():
    view = synthetic.views(1, (48, 48))[0]
    depth = view.depth.copy()
    depth[:10] = 0
    found = segments(replace(view, depth=depth))
    assert (found[:10] == 0).all() and (found[10:] > 0).all()


def test_oklab_of_greys_and_of_red():
    grey = oklab(np.array([[0, 0, 0], [255, 255, 255], [119, 119, 119]], np.uint8))
    assert np.allclose(grey[:2, 0], [0, 1], atol=1e-3) and np.abs(grey[:, 1:]).max() < 1e-3
    assert np.allclose(oklab(np.array([255, 0, 0], np.uint8)), [0.628, 0.2249, 0.1258], atol=2e-3)  # Ottosson's table


# Things


def view_of(regions, pixels=100, vectors=None, fixed=None):
    """A view whose region k shows the Gaussians of list k, with weight 1 each."""
    gaussian = np.concatenate([np.array(some, np.int64) for some in regions])
    region = np.concatenate([np.full(len(some), k, np.int64) for k, some in enumerate(regions)])
    return ViewRegions(gaussian, region, np.ones(len(gaussian)), np.full(len(regions), pixels), vectors, fixed)


def test_regions_that_show_the_same_gaussians_are_one_thing():
    a, b, c = range(0, 50), range(50, 100), range(100, 150)
    things = join([view_of([a, b]), view_of([b, c]), view_of([range(10, 60), range(110, 150)])], 150)
    assert things.count == 3
    assert things.of[0][1] == things.of[1][0], "b"
    assert things.of[2][0] == things.of[0][0] and things.of[2][1] == things.of[1][1], "most of it is a, and c"


def test_parts_of_a_thing_join_it_and_a_region_over_two_things_does_not_join_them():
    a, b = range(0, 60), range(60, 100)
    whole = view_of([a, b])
    parts = view_of([range(0, 30), range(30, 60), b])
    both = view_of([range(0, 100)])
    things = join([whole, whole, parts, both], 100)
    assert things.of[2][0] == things.of[2][1] == things.of[0][0] and things.of[0][0] != things.of[0][1]


def test_known_numbers_decide_alone():
    things = join([view_of([range(5), range(5, 9)], fixed=np.array([7, 3])), view_of([range(2, 8)], fixed=np.array([7]))], 10)
    assert things.numbers.tolist() == [3, 7] and things.of[0].tolist() == [1, 0] and things.of[1].tolist() == [1]


def test_unlike_regions_need_more_overlap():
    like, unlike = np.array([[1.0, 0]], np.float32), np.array([[0.0, 1]], np.float32)

    def joined(vectors):
        things = join([view_of([range(100)], vectors=like), view_of([[*range(60), *range(100, 140)]], vectors=vectors)], 140)
        return things.of[0][0] == things.of[1][0]

    assert joined(like) and not joined(unlike)


def test_nothing_to_join():
    assert join([], 5).count == 0


# Codebooks


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**31))
def test_pairs_are_the_heaviest_and_add_up(count, words, seed):
    rng = np.random.default_rng(seed)
    dense = rng.random((count, words)) * (rng.random((count, words)) < 0.6)
    gaussian, word = np.nonzero(dense)
    index, weight, confidence = pairs(count, gaussian, word, dense[gaussian, word])
    for k in range(count):
        order = np.argsort(-dense[k], kind="stable")[:4]
        order = order[dense[k][order] > 0]
        assert index[k, : len(order)].tolist() == order.tolist() and not weight[k, len(order) :].any()
        if len(order):
            shares = dense[k][order] / dense[k][order].sum()
            assert weight[k].sum() == 255 and np.abs(weight[k, : len(order)] / 255 - shares).max() < 2 / 255
            assert abs(confidence[k] / 255 - dense[k].max() / dense[k].sum()) < 1 / 255
        else:
            assert confidence[k] == 0


def some_codebook(count=500, words=12, dim=16, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((2, words, dim))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    dense = rng.random((count, words)) ** 4
    gaussian, word = np.nonzero(dense)
    return Codebook("m", "k", *vectors.astype(np.float16), *pairs(count, gaussian, word, dense[gaussian, word]))


def test_spreading_is_the_weighted_mean_of_the_words():
    book = some_codebook()
    scores = np.random.default_rng(1).random((12, 3)).astype(np.float32)
    expected = (scores[book.index] * (book.weight / 255.0)[..., None]).sum(1)
    assert np.allclose(book.spread(scores), expected, atol=1e-5)
    assert np.allclose(book.spread(scores[:, 0]), expected[:, 0], atol=1e-5)
    assert book.bytes_per_gaussian <= 32


def test_a_codebook_comes_back_bit_by_bit(tmp_path):
    book = some_codebook()
    codebooks.write(tmp_path, book)
    back = codebooks.read(tmp_path, 500)
    assert (back.model, back.key) == ("m", "k")
    for part in ("specific", "context", "index", "weight", "confidence"):
        assert (
            np.array_equal(getattr(back, part), getattr(book, part)) and getattr(back, part).dtype == getattr(book, part).dtype
        )
    assert codebooks.read(tmp_path / "elsewhere", 500) is None
    with pytest.raises(InvalidFile, match="of 500 Gaussians"):
        codebooks.read(tmp_path, 501)


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\xff" * 64])
def test_a_damaged_codebook_is_refused(tmp_path, damage):
    (tmp_path / codebooks.FILE_NAME).write_bytes(damage)
    with pytest.raises(InvalidFile, match="not a codebook"):
        codebooks.read(tmp_path, 5)


def test_a_codebook_that_points_nowhere_is_refused():
    book = some_codebook()
    with pytest.raises(InvalidInput, match="behind its last word"):
        replace(book, specific=book.specific[:2], context=book.context[:2]).validate()


# Questions


def plain_codebook():
    """Three words along three axes; Gaussians 0-9 are the first, 10-19 the second, 20-29 the third, 30 nothing."""
    axes = np.eye(6)[:3].astype(np.float16)
    index = np.zeros((31, 4), np.uint8)
    index[:, 0] = np.minimum(np.arange(31) // 10, 2)
    weight = np.zeros((31, 4), np.uint8)
    weight[:30, 0] = 255
    return Codebook("m", "k", axes, axes, index, weight, np.full(31, 255, np.uint8))


def test_names_go_to_the_words_that_they_fit_and_nothing_else_is_named():
    axes = torch.eye(6)
    named = name(plain_codebook(), axes[:2], axes[4:])
    assert named.label.tolist() == [0] * 10 + [1] * 10 + [2] * 11, "2 means none of them"
    assert (named.confidence[:20] > 0.9).all() and (named.confidence[20:] == 0).all()


def test_a_question_finds_its_word_unless_what_is_unwanted_fits_better():
    axes, book = torch.eye(6), plain_codebook()
    words, scores = score(book, Question(axes[:1], axes[:0], axes[4:]))
    assert words.argmax() == 0 and (scores[:10] > 0.99).all() and (scores[10:30] <= 0.5).all() and scores[30] == 0
    both = torch.nn.functional.normalize(axes[:1] + axes[1:2], dim=1)
    _, scores = score(book, Question(both, axes[1:2], axes[4:]))
    assert scores[0] > 0.9 and scores[10] < 0.2


def test_the_threshold_lies_between_two_groups():
    scores = np.concatenate(
        [np.random.default_rng(0).normal(0.55, 0.02, 900), np.random.default_rng(1).normal(0.85, 0.02, 100)]
    )
    assert 0.6 < threshold(scores.clip(0, 1).astype(np.float32)) < 0.8
    assert threshold(np.full(10, 0.2, np.float32)) == 0.5


def test_whole_things_are_hit_or_not():
    scores = np.array([0.9, 0.8, 0.3, 0.6, 0.1, 0.9], np.float32)
    instance = np.array([1, 1, 1, 2, 2, 0], np.int32)
    assert whole_things(scores, instance, 0.6).tolist() == [True, True, True, False, False, True]
