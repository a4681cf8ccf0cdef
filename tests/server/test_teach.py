# SPDX-License-Identifier: GPL-3.0-or-later
"""A few corrections teach the rest of a scene."""

import numpy as np
import torch
from splatonym.server.semantics.codebook import Codebook
from splatonym.server.semantics.teach import Correction, evidence, teach


def two_kinds(words=12, dim=16, seed=0):
    """Words around two directions, the first half around one; a Gaussian for each word, and one of two words."""
    rng = np.random.default_rng(seed)
    centre = np.repeat(np.eye(dim)[:2], words // 2, 0)
    vectors = centre + 0.25 * rng.standard_normal((words, dim)) / np.sqrt(dim)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    index, weight = np.zeros((words + 1, 4), np.uint8), np.zeros((words + 1, 4), np.uint8)
    index[:words, 0], weight[:words, 0] = np.arange(words), 255
    index[words, :2], weight[words, :2] = (0, words - 1), (155, 100)
    return Codebook("m", "k", vectors, vectors, index, weight, np.full(words + 1, 255, np.uint8))


def test_evidence_is_what_was_said_last():
    book = two_kinds()
    said = evidence(book, [Correction(np.array([0, 12]), 0), Correction(np.array([12]), 1)], 2)
    assert (
        said[0, 0] == 1 and abs(said[0, 1] - 155 / 255) < 1e-6 and abs(said[11, 1] - 100 / 255) < 1e-6 and said[:, 2].sum() == 0
    )


def test_words_like_the_corrected_one_follow_and_others_stay():
    book, before = two_kinds(), np.zeros((12, 3), np.float32)
    before[:, 2] = 0.3  # nothing is named before
    after = before + teach(book, before, [Correction(np.array([1]), 0)]).logits(book)
    assert (after[:6].argmax(1) == 0).all(), "the kind that was corrected"
    assert (after[6:].argmax(1) == 2).all(), "the other kind"


def test_two_corrections_part_two_kinds_that_were_one():
    book = two_kinds()
    before = np.tile(np.array([2.0, 0.0, 0.0], np.float32), (12, 1))
    after = before + teach(book, before, [Correction(np.array([2]), 0), Correction(np.array([8]), 1)]).logits(book)
    assert (after[:6].argmax(1) == 0).all() and (after[6:].argmax(1) == 1).all()


def test_without_corrections_nothing_changes():
    book, before = two_kinds(), torch.randn(12, 3).numpy()
    assert not teach(book, before, []).logits(book).any()
