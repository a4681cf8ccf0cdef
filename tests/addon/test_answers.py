# SPDX-License-Identifier: GPL-3.0-or-later
"""The last answer of a result: kept in the file, chosen anew by another threshold or level, and drawn as bars."""

import json

import bpy
import numpy as np
import pytest
import splatonym
from splatonym.addon.answers import Found, choose_anew, chosen_points, keep_answer, last_answer, recent_questions
from splatonym.addon.build import build_scene, find_results, get_show, read_gaussians, set_show
from splatonym.addon.panels.histogram import SIZE, TILES, histogram_pixels
from splatonym.core.errors import InvalidInput

from .build_scenes import random_scene


@pytest.fixture
def result():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    splatonym.register()
    yield build_scene(bpy.context.scene, random_scene(400))
    splatonym.unregister()


def asked(result, level="object"):
    """Points of instance 1 score 0.9, those of instance 2 score 0.6, the rest 0.1."""
    instance = read_gaussians(result.collection).gaussians.instance
    scores = np.select([instance == 1, instance == 2], [0.9, 0.6], 0.1).astype(np.float32)
    found = Found("chair", level, 0.8, int((scores >= 0.8).sum()), [], [0] * 64)
    keep_answer(result, found, scores, scores >= 0.8)
    return instance


def test_nothing_was_asked(result):
    assert last_answer(result) is None
    for run in (lambda: chosen_points(result), lambda: choose_anew(result, "part", 0.5)):
        with pytest.raises(InvalidInput, match=r"asked anything|chosen anything"):
            run()


def test_another_threshold_chooses_other_things(result):
    instance = asked(result)
    found = choose_anew(result, "object", 0.5)
    assert [thing["id"] for thing in found.things] == [1, 2] and found.things[0]["name"] == "Stühlchen"
    assert np.array_equal(chosen_points(result), np.isin(instance, (1, 2))) and last_answer(result) == found
    assert choose_anew(result, "object", 0.95).count == 0


def test_the_slider_of_the_panel_chooses_anew(result):
    instance = asked(result)
    bpy.context.scene.splatonym_question.threshold = 0.55
    assert np.array_equal(chosen_points(result), np.isin(instance, (1, 2))) and last_answer(result).threshold == pytest.approx(
        0.55
    )
    bpy.context.scene.splatonym_question.level = "group"
    assert last_answer(result).level == "group"


def test_points_that_are_new_have_no_answer_and_the_slider_says_nothing(result, capfd):
    asked(result)
    build_scene(bpy.context.scene, random_scene(300), result_id=result.id)
    (anew,) = find_results(bpy.context.scene)
    assert last_answer(anew) is None
    bpy.context.scene.splatonym_question.threshold = 0.4
    assert "Error" not in capfd.readouterr().err


def test_the_answer_survives_saving(result, tmp_path):
    asked(result)
    before = last_answer(result)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert last_answer(find_results(bpy.context.scene)[0]) == before


def test_other_classes_and_fewer_points_count_anew(result):
    """The last answer follows what people edit."""
    asked(result)
    before = last_answer(result)
    bpy.ops.splatonym.instance_to_class(instance=2, class_name="lamp")
    assert last_answer(find_results(bpy.context.scene)[0]).count == before.count
    bpy.ops.splatonym.delete_instance(instance=1)
    (anew,) = find_results(bpy.context.scene)
    found = last_answer(anew)
    assert (found.count, list(found.things)) == (0, []) and sum(found.histogram) == anew.count
    bpy.context.scene.splatonym_question.threshold = 0.55
    found = last_answer(anew)
    assert [thing["class"] for thing in found.things] == [""] and found.count == chosen_points(anew).sum() > 0


@pytest.mark.parametrize("kept", ["{", "7", '{"text": "chair"}', '{"other": 1}', "[]"])
def test_a_damaged_answer_is_none(result, kept):
    asked(result)
    result.collection["splatonym_answer"] = kept
    assert last_answer(result) is None
    bpy.context.scene.splatonym_question.threshold = 0.3


def test_recent_questions(result):
    for text in ("chair", "lamp", "chair", "red sofa"):
        keep_answer(result, Found(text, "object", 0.5, 0, [], [0] * 64), np.zeros(400, np.float32), np.zeros(400, bool))
    assert recent_questions(result.collection) == ["red sofa", "chair", "lamp"]
    result.collection["splatonym_recent"] = json.dumps([1, "", "table"])
    assert recent_questions(result.collection) == ["table"]
    result.collection["splatonym_recent"] = 3
    assert recent_questions(result.collection) == []


# The histogram


def heights(counts, **options):
    picture = histogram_pixels(counts, 2.0, **options)
    assert picture.shape == (SIZE, TILES * SIZE, 4) and picture.dtype == np.float32 and 0 <= picture.min() <= picture.max() <= 1
    return (picture[:, :-2, 3] > 0).sum(0)


def test_new_points_do_not_show_an_answer_that_they_never_gave(result):
    set_show(result.collection, "ANSWER")
    again = build_scene(bpy.context.scene, random_scene(300), result_id=result.id)
    assert get_show(again.collection) == "COLOUR"


def test_bars_show_few_among_many():
    bars = heights([1000, 0, 1, 0, *[0] * 60])
    first, second, third = (bars[k * 4 : k * 4 + 3].max() for k in range(3))
    assert first > 3 * third > 3 * second >= 3 and second == 1  # the ground line


def test_what_is_meant_is_bright_and_the_threshold_marked():
    picture = histogram_pixels([10] * 64, 0.5, (0.1, 0.2, 0.3))
    line = TILES * SIZE // 2
    assert np.allclose(picture[0, line, :3], (0.1, 0.2, 0.3)) and picture[0, line - 8, 3] < 0.5 < picture[0, line + 8, 3]


def test_odd_histograms():
    for counts in ([], [0] * 64, [5], [1, 2, 3], [-1, 4], list(range(500))):
        heights(counts)
