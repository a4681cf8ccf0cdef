# SPDX-License-Identifier: GPL-3.0-or-later
"""A few corrections teach the rest of a scene."""

import numpy as np
from splatonym.core.codebook import Codebook
from splatonym.server.semantics.teach import evidence, teach
from test_naming import gaussians_of


def two_kinds(words=12, dim=16, seed=0):
    """Words around two directions, the first half around one; a Gaussian for each word, and one of two words."""
    rng = np.random.default_rng(seed)
    centre = np.repeat(np.eye(dim)[:2], words // 2, 0)
    vectors = centre + 0.25 * rng.standard_normal((words, dim)) / np.sqrt(dim)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    index, shares = np.zeros((words + 1, 4), np.uint8), np.zeros((words + 1, 4), np.uint8)
    index[:words, 0], shares[:words, 0] = np.arange(words), 255
    index[words, :2], shares[words, :2] = (0, words - 1), (155, 100)
    return Codebook("m", "k", vectors, vectors), index, shares


def taught(lessons, count=13):
    """Gaussians of `two_kinds`, some of which were given a label."""
    _, index, shares = two_kinds()
    column = np.full(count, -1, np.int32)
    for gaussian, label in lessons.items():
        column[gaussian] = label
    return gaussians_of(index, shares, taught=column)


def test_evidence_is_what_was_said_of_the_gaussians_words():
    said = evidence(taught({0: 0, 12: 1}), 12, 3)
    assert said[0, 0] == 1 and abs(said[0, 1] - 155 / 255) < 1e-6 and abs(said[11, 1] - 100 / 255) < 1e-6
    assert said[:, 2].sum() == 0 and abs(said.sum() - 2) < 1e-6


def test_words_like_the_corrected_one_follow_and_others_stay():
    book, before = two_kinds()[0], np.zeros((12, 3), np.float32)
    before[:, 2] = 0.3  # nothing is named before
    after = teach(book, taught({1: 0}), before)
    assert (after[:6].argmax(1) == 0).all(), "the kind that was corrected"
    assert (after[6:].argmax(1) == 2).all(), "the other kind"


def test_two_corrections_part_two_kinds_that_were_one():
    book, before = two_kinds()[0], np.tile(np.array([2.0, 0.0, 0.0], np.float32), (12, 1))
    after = teach(book, taught({2: 0, 8: 1}), before)
    assert (after[:6].argmax(1) == 0).all() and (after[6:].argmax(1) == 1).all()


def test_without_corrections_nothing_changes():
    before = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    assert teach(two_kinds()[0], taught({}), before) is before


def test_what_only_shows_at_the_edge_of_a_corrected_thing_stays():
    """A thing whose rim is shared with the wall behind it; the wall is a word of its own, and is not corrected with it."""
    book = two_kinds()[0]
    index, shares = np.zeros((1100, 4), np.uint8), np.zeros((1100, 4), np.uint8)
    index[100:, 0], shares[:, 0] = 11, 255
    shares[:40, :2], index[:40, 1] = (100, 155), 11  # on the rim the wall is even the heavier
    column = np.where(np.arange(1100) < 100, 0, -1).astype(np.int32)
    before = np.tile(np.array([0.0, 2.0, 0.0], np.float32), (12, 1))
    after = teach(book, gaussians_of(index, shares, taught=column), before)
    assert after[0].argmax() == 0 and (after[6:].argmax(1) == 1).all()
