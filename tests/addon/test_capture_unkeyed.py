# SPDX-License-Identifier: GPL-3.0-or-later
"""What is animated, and changed without a key, is not lost by rendering."""

import bpy
import pytest
from splatonym.addon.capture import CaptureSettings, capture, choose_cameras
from splatonym.addon.capture.unkeyed import find_unkeyed

from .capture_scenes import GREEN, box, camera

pytestmark = pytest.mark.usefixtures("blank")

VIEW = CaptureSettings(width=8, height=8, samples=1, engine="CYCLES", denoise=False)


@pytest.fixture
def animated():
    """A cube that is animated in every way, its values, and a camera."""
    scene = bpy.context.scene
    cube = box("Cube", 0.5, GREEN)
    cube["a.b"] = 1.0
    camera()
    for owner, path in [
        (cube, "location"),
        (cube, "hide_render"),
        (cube, "pass_index"),
        (cube, '["a.b"]'),
        (cube.active_material.node_tree, 'nodes["Emission"].inputs[1].default_value'),
    ]:
        owner.keyframe_insert(path, frame=1)
        owner.keyframe_insert(path, frame=9)
    scene.frame_set(3)
    bpy.context.view_layer.update()
    return cube


def values(cube):
    strength = cube.active_material.node_tree.nodes["Emission"].inputs[1].default_value
    return (*cube.location, cube.hide_render, cube.pass_index, cube["a.b"], strength)


def test_keyed_values_are_none_of_its_business(animated):
    assert list(find_unkeyed(3.0)) == []


def test_unkeyed_values_outlast_captures_and_what_blender_evaluates_later(animated):
    animated.location.y, animated.hide_render, animated.pass_index, animated["a.b"] = 0.75, True, 12, 2.5
    animated.active_material.node_tree.nodes["Emission"].inputs[1].default_value = 3.0
    bpy.context.view_layer.update()
    before = values(animated)
    assert len(list(find_unkeyed(3.0))) == 5
    for source in ("ALL", "ALL"):
        capture(bpy.context, choose_cameras(bpy.context, source), VIEW)
        bpy.context.view_layer.update()
        assert values(animated) == before
    assert animated.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world.translation.y == 0.75
    bpy.context.scene.frame_set(3)  # as ever: going to a frame takes what is keyed
    assert values(animated)[1] == 0.0


def test_curves_that_lead_nowhere_or_are_muted_are_passed_over(animated):
    del animated["a.b"]
    animated.location.y = 2.0
    assert [found.path for found in find_unkeyed(3.0)] == ["location"]
    action = animated.animation_data.action
    curves = action.layers[0].strips[0].channelbags[0].fcurves if hasattr(action, "layers") else action.fcurves
    for curve in curves:
        curve.mute = True
    assert list(find_unkeyed(3.0)) == []
