# SPDX-License-Identifier: GPL-3.0-or-later
"""From views to a codebook, whole, with a small vision-language model that was never trained: what it says does not matter here."""

import importlib.util
from pathlib import Path

import numpy as np
import open_clip
import pytest
from splatonym.core.errors import InvalidInput
from splatonym.server.job import Job
from splatonym.server.predictors.depth_pass import DepthPass
from splatonym.server.rasterize import choice
from splatonym.server.semantics.clip import models
from splatonym.server.semantics.language import listen
from splatonym.server.semantics.scene_labels import SceneLabels
from splatonym.server.semantics.votes import added_up, heaviest
from splatonym.server.training.pairs import COLOURS
from splatonym.tests import synthetic
from test_clip import small

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scene():
    views = synthetic.views(4, (64, 64))
    return views, DepthPass().predict(views, {}, Job())


@pytest.fixture(scope="module")
def clip():
    return models.wrap("small", "0", small(), open_clip.SimpleTokenizer(context_length=24))


def test_instances_are_those_of_the_scene(scene, clip):
    views, prediction = scene
    found = listen(prediction.gaussians, views, clip, "instances", choice.choose(), Job())
    found.codebook.validate()
    labelled = SceneLabels().label(prediction, views, synthetic.LABELS, synthetic.INSTANCES, choice.choose(), Job())
    both = (found.instance > 0) & (labelled.gaussians.instance > 0)
    assert both.mean() > 0.95 and (found.instance == labelled.gaussians.instance)[both].mean() > 0.99
    assert (found.codebook.weight[found.instance > 0].sum(1) == 255).all()
    assert (found.codebook.model, found.codebook.key) == ("small", "0")


def test_segments_become_things_that_stay_apart(scene, clip):
    """Gaussians of one thing are nearly all of one true instance."""
    views, prediction = scene
    found = listen(prediction.gaussians, views, clip, "segments", choice.choose(), Job())
    true = (
        SceneLabels().label(prediction, views, synthetic.LABELS, synthetic.INSTANCES, choice.choose(), Job()).gaussians.instance
    )
    table = np.zeros((found.instance.max() + 1, true.max() + 1), int)
    np.add.at(table, (found.instance, true), 1)
    assert table[1:].max(1).sum() / table[1:].sum() > 0.9 and (found.instance > 0).mean() > 0.95


def test_unknown_regions_and_views_without_instances_are_refused(scene, clip):
    views, prediction = scene
    with pytest.raises(InvalidInput, match="no regions 'sam'"):
        listen(prediction.gaussians, views, clip, "sam", choice.choose(), Job())
    blank = [type(v)(v.name, v.camera, v.rgb, v.depth, None) for v in views]
    with pytest.raises(InvalidInput, match="No view has an instance map"):
        listen(prediction.gaussians, blank, clip, "instances", choice.choose(), Job())


def test_votes_are_added_up_pair_by_pair():
    first = np.array([3, 1, 3]), np.array([0, 7, 0]), np.array([1.0, 2.0, 4.0])
    second = np.array([1, 3]), np.array([7, 2]), np.array([0.5, 9.0])
    gaussian, number, weight = added_up(first, second)
    assert gaussian.tolist() == [1, 3, 3] and number.tolist() == [7, 0, 2] and weight.tolist() == [2.5, 5.0, 9.0]
    assert heaviest(gaussian, weight).tolist() == [0, 2] and not len(added_up()[0])


def test_the_colours_that_are_painted_are_those_that_are_spoken_of():
    """scripts/dataset cannot import the server, so both have the list."""
    spec = importlib.util.spec_from_file_location("objects", ROOT / "scripts" / "dataset" / "objects.py")
    objects = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(objects)
    assert {name: tuple(round(255 * part) for part in rgb) for name, rgb in objects.COLOURS.items()} == COLOURS
