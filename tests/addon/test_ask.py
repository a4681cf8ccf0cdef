# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel Ask without a server: its picture, its field, and whom it is about."""

import bpy
import numpy as np
import pytest
import splatonym
from splatonym.addon.answers import Found, keep_answer, last_answer
from splatonym.addon.build import build_scene
from splatonym.addon.panels import histogram
from splatonym.addon.properties import follow

from .build_scenes import random_scene


@pytest.fixture
def addon():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    splatonym.register()
    yield bpy.ops.splatonym
    splatonym.unregister()


def test_the_picture_is_drawn_once_a_change_and_goes_with_the_addon(addon):
    white = (1.0, 1.0, 1.0)
    histogram._fill([1, 2, 3, 4], 0.5, white)
    tiles = [histogram._previews[f"tile {k}"] for k in range(histogram.TILES)]
    seen = [np.array(tile.image_pixels_float[:]) for tile in tiles]
    assert [tuple(tile.image_size) for tile in tiles] == [(histogram.SIZE,) * 2] * histogram.TILES
    whole = histogram.histogram_pixels([1, 2, 3, 4], 0.5)
    for k, pixels in enumerate(seen):
        part = whole[:, k * histogram.SIZE : (k + 1) * histogram.SIZE]
        assert np.allclose(pixels.reshape(part.shape), part, atol=1 / 255)  # Blender keeps bytes
    histogram._fill([4, 3, 2, 1], 0.5, white)
    assert not np.allclose(seen[0], tiles[0].image_pixels_float[:])
    splatonym.unregister()
    assert histogram._previews is None
    splatonym.register()
    assert histogram._previews is not None


def test_a_script_that_types_a_question_asks_nothing(addon):
    build_scene(bpy.context.scene, random_scene(20))
    bpy.context.scene.splatonym_question.text = "chair"
    assert not splatonym.addon.jobs.state.running


def ask(name):
    result = build_scene(bpy.context.scene, random_scene(100, name=name))
    scores = np.linspace(0, 1, 100, dtype=np.float32)
    keep_answer(result, Found("chair", "part", 0.9, 10, [], [0] * 64), scores, scores >= 0.9)
    return result


def test_the_slider_follows_an_answer_and_leaves_it_as_it_is(addon):
    result = ask("Room")
    before = last_answer(result)
    assert bpy.context.scene.splatonym_question.level == "object"  # the answer is of another level
    follow(bpy.context.scene, before)
    question = bpy.context.scene.splatonym_question
    assert (question.level, question.threshold) == ("part", pytest.approx(0.9)) and last_answer(result) == before
    question.threshold = 0.5
    assert last_answer(result).count == 50  # a person's hand still moves it


def test_another_result_brings_the_slider_to_its_own_answer(addon):
    first, second = ask("First"), ask("Second")
    question = bpy.context.scene.splatonym_question
    question.level, question.threshold = "part", 0.25
    addon.activate_result(result="First")
    assert question.threshold == pytest.approx(0.9)
    assert (last_answer(first).count, last_answer(second).count) == (10, 75)


def test_the_slider_is_of_the_active_result(addon):
    first, second = ask("First"), ask("Second")
    addon.activate_result(result="First")
    question = bpy.context.scene.splatonym_question
    question.level, question.threshold = "part", 0.25
    assert last_answer(first).threshold == pytest.approx(0.25) and last_answer(first).count == 75
    assert last_answer(second).count == 10


def test_an_answer_with_damaged_names_is_told_in_the_panel(addon):
    result = build_scene(bpy.context.scene, random_scene(100))
    scores = np.ones(100, np.float32)
    keep_answer(result, Found("chair", "object", 0.9, 100, [], [0] * 64), scores, scores > 0)
    result.collection["splatonym_labels"] = "{"
    bpy.context.scene.splatonym_question.threshold = 0.4
    state = splatonym.addon.jobs.state
    assert state.place == "ask" and "damaged" in state.error.message
