# SPDX-License-Identifier: GPL-3.0-or-later
"""From views to a codebook, whole, with a small vision-language model that was never trained: what it says does not matter here."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from splatonym.core.errors import InvalidInput
from splatonym.server.job import Job
from splatonym.server.predictors.depth_pass import DepthPass
from splatonym.server.rasterize import choice
from splatonym.server.semantics import regions
from splatonym.server.semantics.clip import models
from splatonym.server.semantics.clip.cache import FeatureCache
from splatonym.server.semantics.clip.images import RegionVectors
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


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "features")


def heard(scene, clip, cache, kind):
    views, prediction = scene
    chosen, _ = regions.choose(kind, views)
    return listen(prediction.gaussians, views, clip, chosen, choice.choose(), Job(), cache)


def true_instances(scene):
    views, prediction = scene
    labelled = SceneLabels().label(prediction, views, synthetic.LABELS, synthetic.INSTANCES, choice.choose(), Job())
    return labelled.gaussians.instance


def test_instances_are_those_of_the_scene(scene, clip, cache):
    found = heard(scene, clip, cache, "instances")
    found.codebook.validate()
    true = true_instances(scene)
    both = (found.instance > 0) & (true > 0)
    assert both.mean() > 0.95 and (found.instance == true)[both].mean() > 0.99
    assert (found.shares[found.instance > 0].sum(1) == 255).all()
    assert (found.codebook.model, found.codebook.key) == ("small", "0")


def test_segments_become_things_that_stay_apart(scene, clip, cache):
    """Gaussians of one thing are nearly all of one true instance."""
    found, true = heard(scene, clip, cache, "segments"), true_instances(scene)
    table = np.zeros((found.instance.max() + 1, true.max() + 1), int)
    np.add.at(table, (found.instance, true), 1)
    assert table[1:].max(1).sum() / table[1:].sum() > 0.9 and (found.instance > 0).mean() > 0.95


def test_what_a_model_said_is_kept_and_not_asked_again(scene, clip, cache, monkeypatch):
    first = heard(scene, clip, cache, "instances")
    assert len(list(cache.folder.glob("*.safetensors"))) == 4
    monkeypatch.setattr(models.Clip, "encode_pictures", lambda *_: pytest.fail("the model was asked again"))
    second = heard(scene, clip, cache, "instances")
    assert np.array_equal(first.codebook.specific, second.codebook.specific) and np.array_equal(first.words, second.words)


def test_the_cache_knows_model_picture_and_regions_apart_and_survives_damage(cache):
    rgb, numbers = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int32)
    keys = {
        cache.key("a", rgb, numbers),
        cache.key("b", rgb, numbers),
        cache.key("a", rgb + 1, numbers),
        cache.key("a", rgb, numbers + 1),
    }
    assert len(keys) == 4
    vectors = RegionVectors(torch.ones(3, 5), torch.zeros(3, 5))
    cache.put("k", vectors)
    assert torch.equal(cache.get("k", 3, 5).specific, vectors.specific)
    assert cache.get("k", 2, 5) is None and cache.get("other", 3, 5) is None
    (cache.folder / "k.safetensors").write_bytes(b"cut")
    assert cache.get("k", 3, 5) is None


def test_the_cache_forgets_what_was_used_longest_ago(tmp_path):
    cache = FeatureCache(tmp_path, bytes_most=3 * 500)
    for k, name in enumerate("abc"):
        cache.put(name, RegionVectors(torch.zeros(3, 10), torch.zeros(3, 10)))
        os.utime(tmp_path / f"{name}.safetensors", (k, k))
    assert cache.get("a", 3, 10) is not None  # used just now
    cache.put("d", RegionVectors(torch.zeros(3, 10), torch.zeros(3, 10)))
    assert cache.get("a", 3, 10) is not None and cache.get("b", 3, 10) is None


def test_unknown_regions_and_views_without_instances_are_refused(scene):
    views, _ = scene
    with pytest.raises(InvalidInput, match="no regions 'sum'"):
        regions.choose("sum", views)
    blank = [replace(view, index=None) for view in views]
    with pytest.raises(InvalidInput, match="No view has an instance map"):
        regions.choose("instances", blank)
    chosen, notes = regions.choose("auto", [blank[0], *views[1:]])
    assert chosen.kind == "instances" and "1 of 4" in notes[0]


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
