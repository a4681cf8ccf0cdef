# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and questions, on codebooks whose answers are known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.answers import thing_scores, things_as_json, threshold
from splatonym.core.codebook import Codebook
from splatonym.core.errors import InvalidInput, NotAvailable
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.labels import LabelMap
from splatonym.core.scene import SemanticScene
from splatonym.core.views import Instance
from splatonym.server.semantics.naming import (
    Wording,
    decide,
    named_instances,
    of_instances,
    taught_scene,
    translated,
    words_of,
)
from splatonym.server.semantics.questions import Question, answer, best_relevancy


def gaussians_of(words, shares, **columns):
    """Gaussians somewhere with these words."""
    n = len(words)
    return GaussianArrays(
        np.zeros((n, 3), np.float32),
        np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1)),
        np.full((n, 3), 0.1, np.float32),
        np.full(n, 0.5, np.float32),
        np.zeros((n, 1, 3), np.float32),
        words=words,
        shares=shares,
        **columns,
    )


def plain_scene():
    """Three words; Gaussians 0-9 are of the first, 10-19 of the second, 20-29 of the third, 30 of none. Two instances of class chair."""
    words, shares = np.zeros((31, 4), np.uint8), np.zeros((31, 4), np.uint8)
    words[:, 0] = np.minimum(np.arange(31) // 10, 2)
    shares[:30, 0] = 255
    instance = np.array([1] * 10 + [2] * 10 + [3] * 10 + [0], np.int32)
    label = np.array([0] * 20 + [1] * 10 + [2], np.int32)
    axes = np.eye(6)[:3].astype(np.float16)
    instances = {1: Instance(1, "chair 1", "chair"), 2: Instance(2, "Omas Stuhl", "chair"), 3: Instance(3, "table 3", "table")}
    g = gaussians_of(words, shares, instance=instance, label=label, confidence=np.ones(31, np.float32))
    return SemanticScene("s", g, LabelMap(("chair", "table")), instances, Codebook("m", "k", axes, axes))


# Names


def test_words_vote_with_their_shares_and_how_sure_they_are():
    words = np.array([[0, 1, 2, 0], [0, 1, 2, 0], [3, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    shares = np.array([[100, 80, 75, 0], [255, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    logits = np.log(np.array([[0.9, 0.05, 0.05], [0.1, 0.85, 0.05], [0.1, 0.85, 0.05], [0.3, 0.3, 0.4]], np.float32))
    label, confidence = decide(words, shares, logits, 2, 0.35)
    assert label.tolist() == [1, 0, 2, 2], "two words of a class outvote a heavier one; one that is not sure is none"
    assert np.allclose(confidence, [155 / 255 * 0.85, 0.9, 0, 0], atol=1e-5)
    assert decide(words, shares, logits[:0], 2, 0.35)[0].tolist() == [2] * 4


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 9), st.integers(2, 6))
def test_deciding_is_the_sum_of_votes_class_by_class(seed, count, vocabulary, classes):
    rng = np.random.default_rng(seed)
    words = rng.integers(0, vocabulary, (count, 4)).astype(np.uint8)
    shares = rng.integers(0, 64, (count, 4)).astype(np.uint8)
    logits = rng.normal(size=(vocabulary, classes)).astype(np.float32)
    label, confidence = decide(words, shares, logits, classes - 1, 0.3)
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    told = np.where(share.max(1) >= 0.3, share.argmax(1), classes - 1)
    worth = np.where(told == classes - 1, 0.3, share.max(1))
    votes = np.zeros((count, classes))
    for k in range(4):
        np.add.at(votes, (np.arange(count), told[words[:, k]]), worth[words[:, k]] * shares[:, k] / 255)
    seen = shares[:, 0] > 0
    assert np.allclose(votes[np.arange(count), label][seen], votes.max(1)[seen], atol=1e-5)
    assert (label[~seen] == classes - 1).all()
    named = label < classes - 1
    assert np.allclose(confidence[named], votes.max(1)[named], atol=1e-5) and not confidence[~named].any()


def test_what_was_taught_follows_its_name_into_another_list():
    before, after = LabelMap(("chair", "sofa")), LabelMap(("lamp", "sofa", "table"))
    assert translated(np.array([0, 1, -1, 2], np.int32), before, after).tolist() == [-1, 1, -1, 3]
    assert translated(None, before, after) is None


def test_an_instance_is_what_most_of_its_gaussians_are_and_keeps_a_name_of_its_own():
    scene = plain_scene()
    g = gaussians_of(scene.gaussians.words, scene.gaussians.shares, instance=scene.gaussians.instance)
    labels = LabelMap(("stool", "lamp"))
    label = np.array([1] * 6 + [0] * 4 + [0] * 10 + [2] * 11, np.int32)
    found = named_instances(GaussianArrays(**{**vars(g), "label": label}), labels, scene.instances)
    assert found[1] == Instance(1, "lamp 1", "lamp") and found[2] == Instance(2, "Omas Stuhl", "stool")
    assert found[3] == Instance(3, "thing 3", "unlabelled") and set(found) == {1, 2, 3}


@pytest.mark.parametrize("far", [0, 2_000_000_000])
def test_instances_are_named_whatever_their_numbers(far):
    rng = np.random.default_rng(3)
    words = np.zeros((300, 4), np.uint8)
    instance = rng.integers(0, 12, 300)
    instance = np.where(instance > 6, instance + far, instance).astype(np.int32)
    labels = LabelMap(("a", "b", "c"))
    label = rng.integers(0, 4, 300).astype(np.int32)
    found = named_instances(gaussians_of(words, words, instance=instance, label=label), labels, {})
    assert list(found) == sorted(set(instance.tolist()) - {0})
    for number, one in found.items():
        votes = np.bincount(label[instance == number], minlength=4)
        of = labels.names[votes.argmax()]
        assert one == Instance(number, f"{'thing' if of == 'unlabelled' else of} {number}", of)


def test_teaching_marks_gaussians_and_takes_back():
    scene = plain_scene()
    chosen = of_instances(scene.gaussians, [2])
    assert chosen.tolist() == list(range(10, 20))
    scene = taught_scene(scene, chosen, "stool")
    assert scene.labels.names == ("chair", "table", "unlabelled", "stool")
    assert (scene.gaussians.taught[10:20] == 3).all() and (scene.gaussians.taught[:10] == -1).all()
    assert (taught_scene(scene, chosen, "").gaussians.taught == -1).all()
    with pytest.raises(InvalidInput, match="no thing 9"):
        of_instances(scene.gaussians, [9])


def test_a_scene_without_words_cannot_be_asked():
    scene = plain_scene()
    with pytest.raises(NotAvailable, match="Nobody has said yet"):
        words_of(SemanticScene("s", scene.gaussians, scene.labels))


@pytest.mark.parametrize("bad", [{"prompts": ("a photo",)}, {"prompts": ()}, {"prompts": ("{} {}",)}, {"floor": 1.5}])
def test_wording_that_cannot_work_is_refused(bad):
    with pytest.raises(InvalidInput):
        Wording(**bad)


# Questions


@pytest.mark.parametrize(
    "text, wanted, unwanted",
    [
        ("red chair", ("red chair",), ()),
        ("chair, stool", ("chair", "stool"), ()),
        ("chair not armchair", ("chair",), ("armchair",)),
        ("chair but not armchair, stool", ("chair",), ("armchair", "stool")),
        ("a knot of wood", ("a knot of wood",), ()),
    ],
)
def test_questions_are_read_as_people_write_them(text, wanted, unwanted):
    assert Question.parse(text) == Question(wanted, unwanted)
    assert Question.parse(text, ["lamp"]).unwanted == (*unwanted, "lamp")


@pytest.mark.parametrize("text", ["", "  ", "not chair", ","])
def test_a_question_for_nothing_is_refused(text):
    with pytest.raises(InvalidInput, match="asks for nothing"):
        Question.parse(text)


def test_a_question_finds_its_word_unless_what_is_unwanted_fits_better():
    axes = torch.eye(6)
    words = [axes[:3], axes[:3] * 0.1]
    found = best_relevancy(words, axes[:1], axes[4:])
    assert found.argmax() == 0 and found[0] > 0.99 and (found[1:] <= 0.5).all()
    both = torch.nn.functional.normalize(axes[:1] + axes[1:2], dim=1)
    found = best_relevancy(words, both, torch.cat([axes[4:], axes[1:2]]))
    assert found[0] > 0.9 and found[1] < 0.2


def answered(of_words, level, limit=None):
    scene = plain_scene()
    of_words = np.array(of_words, np.float32)
    scores = np.where(scene.gaussians.shares[:, 0] > 0, of_words[scene.gaussians.words[:, 0]], 0).astype(np.float32)
    return scene, answer(scene, scores, of_words, level, limit)


def test_an_answer_is_whole_things_or_all_of_their_class():
    scene, found = answered([0.9, 0.2, 0.1], "object")
    assert 0.2 < found.threshold < 0.9 and found.things == [(1, pytest.approx(0.9))]
    assert found.chosen.tolist() == [True] * 10 + [False] * 21
    assert things_as_json(scene.instances, found) == [{"id": 1, "name": "chair 1", "class": "chair", "score": 0.9}]
    _, group = answered([0.9, 0.2, 0.1], "group")
    assert group.chosen.tolist() == [True] * 20 + [False] * 11 and group.things == found.things
    assert found.histogram.sum() == 31


def test_nothing_is_meant_where_nothing_fits_better_than_any_phrase():
    _, found = answered([0.4, 0.3, 0.2], "object")
    assert not found.chosen.any() and found.things == [] and found.threshold >= 0.5
    _, found = answered([0.4, 0.3, 0.2], "part", 0.35)
    assert found.chosen.sum() == 10, "unless the person sets the threshold"


def test_a_part_is_chosen_gaussian_by_gaussian():
    scores = np.array([0.9, 0.8, 0.3, 0.6, 0.1, 0.9], np.float32)
    instance = np.array([1, 1, 1, 2, 2, 0], np.int32)
    assert np.allclose(thing_scores(scores, instance), [0.9, 2 / 3, 0.35])


def test_the_threshold_lies_between_two_groups():
    scores = np.concatenate(
        [np.random.default_rng(0).normal(0.55, 0.02, 900), np.random.default_rng(1).normal(0.85, 0.02, 100)]
    )
    assert 0.6 < threshold(scores.clip(0, 1).astype(np.float32)) < 0.8
    assert threshold(np.full(10, 0.2, np.float32)) == 0.5
    assert threshold(np.array([0.1] * 50 + [0.52, 0.98], np.float32)) == pytest.approx(0.62), (
        "beside a clear hit a faint one is none"
    )
