# SPDX-License-Identifier: GPL-3.0-or-later
"""Class maps and codes against the pictures that blending every channel would give."""

import numpy as np
import pytest
from drawn_scenes import BACKENDS, backend_or_skip, camera, cloud, over_the_picture
from splatonym.core.errors import InvalidInput
from splatonym.server.job import Job
from splatonym.server.rasterize.contract import CHANNELS_MOST, RasterSettings
from splatonym.server.rasterize.maps import class_map, render_codes, soft_class_map

CAMERA = camera(33, 19)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module", params=BACKENDS)
def frame(request):
    """150 Gaussians; those that matter to a test are told by their labels."""
    return backend_or_skip(request.param).prepare(cloud(4, 150), CAMERA, RasterSettings(), Job())


class Watched:
    """A frame that remembers the most channels it was asked for."""

    def __init__(self, frame):
        self.frame, self.most = frame, 0

    def render(self, features):
        self.most = max(self.most, features.shape[1])
        return self.frame.render(features)


def settled(blended):
    """Where the winner is clear."""
    ordered = np.sort(blended, -1)
    return ordered[..., -1] - (ordered[..., -2] if blended.shape[-1] > 1 else 0) > 1e-4


def test_class_map_is_the_argmax_of_blended_classes_where_something_is(frame):
    labels = RNG.integers(0, 9, 150)
    out = frame.render(np.eye(9, dtype=np.float32)[labels])
    classes, share = class_map(frame, labels, covered=0.7)
    shown = out.alpha >= 0.7
    assert 0.1 < shown.mean() < 0.99
    clear = shown & settled(out.features)
    assert (classes[clear] == out.features.argmax(-1)[clear]).all() and (classes[~shown] == -1).all()
    assert np.allclose(share, np.where(shown, out.features.max(-1) / np.where(shown, out.alpha, 1), 0), atol=2e-5)
    assert classes.dtype == np.int32 and share.dtype == np.float32


def test_class_map_takes_the_alpha_at_hand_and_another_nothing(frame):
    labels = RNG.integers(0, 3, 150).astype(np.int32)
    out = frame.render()
    classes, share = class_map(frame, labels, alpha=out.alpha, nothing=255)
    again = class_map(frame, labels)
    assert np.array_equal(np.where(classes == 255, -1, classes), again[0]) and np.allclose(share, again[1], atol=1e-6)
    assert (classes == 255).any()


@pytest.mark.parametrize("count", [1, 5, 32, 33, 100])
def test_soft_class_map_is_the_argmax_of_blended_probabilities(frame, count):
    probabilities = RNG.dirichlet(np.full(count, 0.1), 150)
    watched = Watched(frame)
    classes, share = soft_class_map(watched, probabilities)
    assert watched.most == min(count, CHANNELS_MOST)
    out = frame.render(probabilities.astype(np.float32))
    shown = out.alpha >= 0.5
    clear = shown & settled(out.features)
    assert (classes[clear] == out.features.argmax(-1)[clear]).all() and (classes[~shown] == -1).all()
    assert np.allclose(share[shown], (out.features.max(-1) / out.alpha)[shown], atol=2e-5) and not share[~shown].any()


def test_hard_probabilities_give_the_hard_map(frame):
    labels = RNG.integers(0, 50, 150)
    hard, soft = class_map(frame, labels), soft_class_map(frame, np.eye(50)[labels])
    clear = settled(frame.render(np.eye(50, dtype=np.float32)[labels]).features)
    assert (hard[0] == soft[0])[clear].all() and np.allclose(hard[1], soft[1], atol=2e-5)


@pytest.mark.parametrize("words, used", [(1, 1), (7, 7), (300, 20), (300, 300)])
def test_codes_are_the_blended_sums_of_their_words(frame, words, used):
    some = RNG.permutation(words)[:used]
    index = some[RNG.integers(0, used, (150, 4))]
    index[:30, 1] = index[:30, 0]  # a word named twice counts twice
    weight, codebook = RNG.uniform(0, 0.5, (150, 4)), RNG.normal(size=(words, 12))
    watched = Watched(frame)
    picture = render_codes(watched, index, weight, codebook)
    assert watched.most <= CHANNELS_MOST and picture.shape == (19, 33, 12) and picture.dtype == np.float32
    codes = (weight[..., None] * codebook[index]).sum(1)
    assert np.allclose(picture, frame.render(codes.astype(np.float32)).features, atol=5e-5)


@pytest.mark.parametrize("name", BACKENDS)
def test_without_gaussians_there_is_nothing(name):
    empty = backend_or_skip(name).prepare(cloud(0, 0), CAMERA, RasterSettings(), Job())
    assert (class_map(empty, np.zeros(0, np.int32))[0] == -1).all()
    assert (soft_class_map(empty, np.zeros((0, 40)), covered=0.0)[0] == -1).all()
    picture = render_codes(empty, np.zeros((0, 2), np.int32), np.zeros((0, 2)), np.ones((5, 6)))
    assert picture.shape == (19, 33, 6) and not picture.any()


@pytest.mark.parametrize("name", BACKENDS)
def test_one_class_over_everything_has_all_of_it(name):
    g = over_the_picture(cloud(0, 1))
    classes, share = class_map(backend_or_skip(name).prepare(g, CAMERA, RasterSettings(), Job()), np.array([7]))
    assert (classes == 7).all() and np.allclose(share, 1, atol=1e-5)


FINE = (np.zeros((150, 2), np.int32), np.ones((150, 2), np.float32), np.ones((6, 3), np.float32))
WRONG = {
    "labels that are no numbers to count with": (lambda f: class_map(f, np.ones(150)), "float64"),
    "labels of two axes": (lambda f: class_map(f, np.ones((150, 1), int)), r"\(150, 1\)"),
    "too few labels": (lambda f: class_map(f, np.ones(149, int)), r"\(149,\)"),
    "labels below 0": (lambda f: class_map(f, np.full(150, -1)), "-1"),
    "probabilities of one axis": (lambda f: soft_class_map(f, np.ones(150)), r"\(150,\)"),
    "probabilities of no class": (lambda f: soft_class_map(f, np.ones((150, 0))), r"\(150, 0\)"),
    "too few probabilities": (lambda f: soft_class_map(f, np.ones((149, 3))), r"\(149, 3\)"),
    "probabilities with nan": (lambda f: soft_class_map(f, np.full((150, 3), np.nan)), "finite"),
    "indices of one axis": (lambda f: render_codes(f, FINE[0][:, 0], FINE[1], FINE[2]), r"\(150,\)"),
    "indices that are no numbers to count with": (lambda f: render_codes(f, FINE[1], FINE[1], FINE[2]), "float32"),
    "too few indices": (lambda f: render_codes(f, FINE[0][1:], FINE[1][1:], FINE[2]), "149"),
    "weights of other shape": (lambda f: render_codes(f, FINE[0], FINE[1][:, :1], FINE[2]), r"\(150, 1\)"),
    "weights with nan": (lambda f: render_codes(f, FINE[0], FINE[1] * np.nan, FINE[2]), "row 0"),
    "a codebook of one axis": (lambda f: render_codes(f, FINE[0], FINE[1], FINE[2][0]), r"\(3,\)"),
    "a codebook with inf": (lambda f: render_codes(f, FINE[0], FINE[1], FINE[2] * np.inf), "row 0"),
    "an index past the codebook": (lambda f: render_codes(f, FINE[0] + 6, FINE[1], FINE[2]), "index 6 .* 6 words"),
    "an index below 0": (lambda f: render_codes(f, FINE[0] - 1, FINE[1], FINE[2]), "index -1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_with_its_value(frame, case):
    ask, said = WRONG[case]
    with pytest.raises(InvalidInput, match=said) as error:
        ask(frame)
    assert error.value.hint
