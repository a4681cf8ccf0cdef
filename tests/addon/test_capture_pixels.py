# SPDX-License-Identifier: GPL-3.0-or-later
"""What the views hold is true: points on the surfaces, instances in their places, colours as the materials have them."""

import bpy
import numpy as np
import pytest
from mathutils import Matrix
from splatonym.addon.capture import CaptureSession, CaptureSettings, capture, choose_cameras, empty_views, scene_camera

from .capture_scenes import GREEN, RED, TINY, box, camera, distances, room, shining

pytestmark = pytest.mark.usefixtures("blank")

LENSES = {
    "wide": {"lens": 18.0},
    "long, shifted": {"lens": 40.0, "shift_x": 0.13, "shift_y": -0.2},
    "horizontal": {"lens": 20.0, "sensor_fit": "HORIZONTAL", "sensor_width": 30.0, "shift_x": -0.1},
    "vertical": {"lens": 20.0, "sensor_fit": "VERTICAL", "sensor_height": 30.0, "shift_y": 0.1},
    "orthographic": {"type": "ORTHO", "ortho_scale": 3.0, "shift_x": 0.1, "shift_y": 0.07},
    "orthographic, vertical": {"type": "ORTHO", "ortho_scale": 2.5, "sensor_fit": "VERTICAL"},
}


def inner(numbers):
    """Pixels whose eight neighbours show the same thing."""
    out = np.ones(numbers.shape, bool)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            out &= np.roll(numbers, (down, right), (0, 1)) == numbers
    out[[0, -1]] = out[:, [0, -1]] = False
    return out


def assert_on_surfaces(captured, tolerance=1e-3):
    for view in captured.views:
        view.validate()
        assert (view.depth > 0).all(), view.name
        relative = distances(view, captured) / view.depth
        assert relative.max() < tolerance, f"{view.name}: {relative.max():.2e}"
        assert {captured.instances[n].name for n in np.unique(view.index)} == {"Room", "Cube"}, view.name


@pytest.mark.parametrize("aspect", [(1.0, 1.0), (1.0, 1.5), (2.0, 1.0)])
def test_points_lie_on_the_surfaces(aspect):
    room()
    for name, lens in LENSES.items():
        camera(name, **lens)
    bpy.data.objects.remove(bpy.data.objects["Camera"])
    render = bpy.context.scene.render
    render.pixel_aspect_x, render.pixel_aspect_y = aspect
    for size in ((40, 30), (30, 40)):
        render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
        settings = CaptureSettings(samples=1, engine="CYCLES", denoise=False)
        captured = capture(bpy.context, choose_cameras(bpy.context, "ALL"), settings)
        assert [v.name for v in captured.views] == sorted(LENSES)
        assert {(v.camera.width, v.camera.height) for v in captured.views} == {size}
        assert_on_surfaces(captured)


def test_the_percentage_is_truncated_as_blender_does_it():
    seen = room(lens=20.0)
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = 99, 77, 33
    captured = capture(bpy.context, choose_cameras(bpy.context, names=[seen.name]), CaptureSettings(samples=1, engine="CYCLES"))
    assert captured.views[0].rgb.shape == (25, 32, 3)
    assert_on_surfaces(captured)
    assert np.array_equal(scene_camera(bpy.context.scene).K, captured.views[0].camera.K)


def test_cameras_that_are_parented_constrained_scaled_mirrored_or_sheared():
    room(lens=20.0)
    parent = bpy.data.objects.new("Parent", None)
    parent.scale, parent.rotation_euler, parent.location = (1, 1.7, 0.6), (0.2, 0.1, 0.3), (0.3, 0, 0.2)
    bpy.context.scene.collection.objects.link(parent)
    sheared = camera("sheared", at=(1.0, -1.0, 1.0), turn=(1.0, 0.2, 0.8), lens=18.0)
    sheared.parent = parent
    mirrored = camera("mirrored", lens=20.0)
    mirrored.scale = (-1, 1, 1)
    small = camera("small", lens=20.0)
    small.scale = (0.02, 0.02, 0.02)
    tracking = camera("tracking", at=(-2, 1, 1.5), turn=(0, 0, 0), lens=25.0)
    constraint = tracking.constraints.new("TRACK_TO")
    constraint.target, constraint.track_axis, constraint.up_axis = bpy.data.objects["Cube"], "TRACK_NEGATIVE_Z", "UP_Y"
    captured = capture(bpy.context, choose_cameras(bpy.context, "ALL"), TINY)
    assert_on_surfaces(captured)
    views = {v.name: v for v in captured.views}
    assert np.array_equal(views["mirrored"].index, views["Camera"].index)
    u, depth = views["tracking"].camera.project(np.array([[0.2, 0.1, -0.3]]))
    assert np.allclose(u, [20, 16], atol=1e-3) and depth[0] > 0


@pytest.mark.parametrize("engine", ["CYCLES", "WORKBENCH", "EEVEE"])
def test_colour_instances_and_depth_lie_upon_each_other(engine):
    room(lens=20.0, shift_x=0.05)
    settings = CaptureSettings(width=40, height=28, samples=16, engine=engine, denoise=False)
    captured = capture(bpy.context, choose_cameras(bpy.context, "ALL"), settings)
    assert_on_surfaces(captured)
    (view,) = captured.views
    sure = inner(view.index)
    for number, thing in captured.instances.items():
        channel = {"Room": 0, "Cube": 1}[thing.name]
        colours = view.rgb[sure & (view.index == number)]
        assert len(colours) > 20
        assert colours[:, channel].min() > 240 and colours[:, 1 - channel].max() < 100, thing.name
    # To a part of a pixel: the middle of what is green, counting edges by their share, is the cube's.
    green = (view.rgb[..., 1] / 255.0) ** 2.2
    cube = view.index == next(n for n, thing in captured.instances.items() if thing.name == "Cube")
    rows, columns = np.indices(cube.shape)
    for place in (rows, columns):
        assert abs((place * green).sum() / green.sum() - place[cube].mean()) < 0.2


def test_the_scenes_look_is_off():
    """A linear 0.5 is 188 in sRGB, whatever the scene does to its pictures."""
    scene = bpy.context.scene
    box("Wall", 3.0, (0.5, 0.5, 0.5, 1.0))
    camera()
    scene.view_settings.view_transform, scene.view_settings.exposure, scene.view_settings.gamma = "AgX", 2.0, 1.5
    scene.view_settings.look = "AgX - High Contrast"
    scene.view_settings.use_curve_mapping = True
    scene.view_settings.curve_mapping.curves[3].points[0].location = (0.0, 0.5)
    render = scene.render
    render.film_transparent = render.use_motion_blur = render.use_border = render.use_crop_to_border = True
    render.border_max_x = 0.5
    render.use_stamp, render.dither_intensity = True, 2.0
    scene.keyframe_insert("view_settings.exposure")  # animation would set it again
    bpy.data.cameras["Camera"].dof.use_dof = True
    bpy.data.cameras["Camera"].dof.aperture_fstop = 0.01
    captured = capture(bpy.context, choose_cameras(bpy.context, "ALL"), TINY)
    assert captured.views[0].rgb.shape == (32, 40, 3)
    assert np.abs(captured.views[0].rgb.astype(int) - 188).max() <= 1


def test_the_world_is_seen_through_a_transparent_film_and_has_neither_depth_nor_instance():
    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("World")
    if bpy.app.version < (5, 0):
        scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = (0.0, 0.0, 1.0, 1.0)
    scene.render.film_transparent = True
    camera(clip_end=50.0)
    box("Far away", 1.0, RED, at=(0, 0, -60))
    captured = capture(bpy.context, choose_cameras(bpy.context, "ALL"), TINY)
    (view,) = captured.views
    assert np.array_equal(np.unique(view.rgb.reshape(-1, 3), axis=0), [[0, 0, 255]])
    assert not view.depth.any() and not view.index.any() and not captured.instances
    assert empty_views(captured.views) == ["Camera"]


def test_without_depth_or_index():
    room()
    shots = choose_cameras(bpy.context, "ALL")
    both = CaptureSettings(width=16, height=16, samples=1, engine="WORKBENCH")
    for settings, depth, index in (
        (CaptureSettings(**{**vars(both), "depth": False}), False, True),
        (CaptureSettings(**{**vars(both), "index": False}), True, False),
        (CaptureSettings(**{**vars(both), "depth": False, "index": False}), False, False),
    ):
        view = capture(bpy.context, shots, settings).views[0]
        assert ((view.depth is not None), (view.index is not None)) == (depth, index)
    assert empty_views([view]) == []  # nothing is known of it


def test_instances_of_collections_and_geometry_nodes_are_told_apart():
    scene = bpy.context.scene
    chairs = bpy.data.collections.new("Chairs")
    box("Stühlchen", 0.4, RED, collection=chairs)
    empty = bpy.data.objects.new("Instancer", None)
    empty.instance_type, empty.instance_collection, empty.location = "COLLECTION", chairs, (-1, 0, 0)
    scene.collection.objects.link(empty)

    pool = bpy.data.collections.new("Pool")  # not in the scene
    lamp = box("Lamp", 0.4, GREEN, collection=pool)
    carrier = box("Carrier", 0.1)
    tree = bpy.data.node_groups.new("Instance", "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    info, out = tree.nodes.new("GeometryNodeObjectInfo"), tree.nodes.new("NodeGroupOutput")
    info.inputs["Object"].default_value, info.inputs["As Instance"].default_value = lamp, True
    move = tree.nodes.new("GeometryNodeTransform")
    move.inputs["Translation"].default_value = (1, 0, 0)
    tree.links.new(info.outputs["Geometry"], move.inputs[0])
    tree.links.new(move.outputs[0], out.inputs[0])
    carrier.modifiers.new("Instance", "NODES").node_group = tree

    camera(at=(0, 0, 5), turn=(0, 0, 0), lens=40.0)
    captured = capture(bpy.context, choose_cameras(bpy.context, "ALL"), TINY)
    (view,) = captured.views
    names = {thing.name: number for number, thing in captured.instances.items()}
    assert set(names) == {"Stühlchen", "Lamp"}
    assert (view.index[:, :20] == names["Stühlchen"]).sum() > 20 and (view.index[:, 20:] == names["Lamp"]).sum() > 20
    assert captured.instances[names["Lamp"]].class_name == "lamp"


def test_results_are_not_seen():
    room(lens=20.0)
    scene = bpy.context.scene
    result, deeper = bpy.data.collections.new("Result"), bpy.data.collections.new("chair (1)")
    result["splatonym_result"] = "1"
    scene.collection.children.link(result)
    result.children.link(deeper)
    box("Splat", 1.5, RED, collection=deeper)
    stray = box("Stray", 1.6, RED)
    stray["splatonym_result"] = "1"
    captured = capture(bpy.context, choose_cameras(bpy.context, "ALL"), TINY)
    assert_on_surfaces(captured)
    assert not stray.hide_render and not bpy.context.view_layer.layer_collection.children["Result"].exclude


def test_animated_shots_see_each_frame_and_leave_what_is_not_keyed():
    scene = bpy.context.scene
    seen = room(lens=20.0)
    scene.frame_start, scene.frame_end, scene.frame_step = 1, 9, 4
    cube = bpy.data.objects["Cube"]
    for frame, x in ((1, 1.5), (9, 0.5)):
        seen.location.x = x
        seen.keyframe_insert("location", frame=frame)
        cube.keyframe_insert("location", frame=frame)
    scene.frame_set(3)
    cube.location = (0.2, 0.1, -1.5)  # not keyed: going to another frame and back would lose it
    captured = capture(bpy.context, choose_cameras(bpy.context, "ACTIVE_ANIMATED"), TINY)
    assert [v.name for v in captured.views] == ["Camera 0001", "Camera 0005", "Camera 0009"]
    xs = [v.camera.position[0] for v in captured.views]
    assert xs[0] == pytest.approx(1.5) and xs[2] == pytest.approx(0.5) and 0.6 < xs[1] < 1.4
    assert_on_surfaces(captured)
    assert scene.frame_current == 3 and tuple(cube.location) == pytest.approx((0.2, 0.1, -1.5))


def test_a_second_capture_has_the_same_numbers_and_pixels():
    room(lens=20.0)
    shots = choose_cameras(bpy.context, "ALL")
    first, second = (capture(bpy.context, shots * 2, TINY) for _ in range(2))
    assert first.instances == second.instances and first.labels == second.labels
    for view in (*first.views[1:], *second.views):
        assert np.array_equal(view.index, first.views[0].index) and np.array_equal(view.depth, first.views[0].depth)
        assert np.array_equal(view.rgb, first.views[0].rgb)


def test_the_settings_of_one_render_do_not_reach_the_next():
    """Colour after geometry has its own samples and filter again: edges are smooth in every view."""
    room(lens=20.0)
    shots = choose_cameras(bpy.context, "ALL")
    settings = CaptureSettings(width=40, height=32, samples=16, engine="CYCLES", denoise=False)
    with CaptureSession(bpy.context, settings) as session:
        views = [session.render(shot) for shot in shots * 3]
    mixed = [((v.rgb[..., 0] > 20) & (v.rgb[..., 1] > 20)).sum() for v in views]
    assert min(mixed) > 10 and mixed[0] == mixed[1] == mixed[2]


def test_what_moves_between_two_views_is_seen_where_it_is():
    """Cycles keeps the scene from one view to the next, and has to notice."""
    room(lens=20.0)
    shots = choose_cameras(bpy.context, "ALL")
    cube = bpy.data.objects["Cube"]
    with CaptureSession(bpy.context, TINY) as session:
        there = session.render(shots[0])
        cube.location.z += 1.0
        moved = session.render(shots[0])
        cube.hide_render = True
        gone = session.render(shots[0])
        cube.location.z, cube.hide_render = cube.location.z - 1.0, False
        bpy.context.view_layer.update()
        back = session.render(shots[0])
        cube_number = next(number for number, thing in session.instances.items() if thing.name == "Cube")
    assert cube_number in there.index and cube_number in moved.index and cube_number not in gone.index
    assert not np.array_equal(there.index, moved.index) and not np.array_equal(there.rgb, moved.rgb)
    assert np.array_equal(there.index, back.index) and np.array_equal(there.depth, back.depth)


def test_volumes_are_in_the_colours_and_in_nothing_else():
    scene = bpy.context.scene
    box("Wall", 4.0, RED, at=(0, 0, -10))
    shape = box("Shape", 1.0)
    shape.hide_render = True
    fog = bpy.data.objects.new("Fog", bpy.data.volumes.new("Fog"))
    scene.collection.objects.link(fog)
    filling = fog.modifiers.new("Filling", "MESH_TO_VOLUME")
    filling.object, filling.density = shape, 20.0
    smoke = shining("Smoke", RED)
    tree = smoke.node_tree
    tree.links.new(tree.nodes.new("ShaderNodeVolumePrincipled").outputs[0], tree.nodes["Material Output"].inputs["Volume"])
    tree.links.remove(tree.nodes["Material Output"].inputs["Surface"].links[0])
    fog.data.materials.append(smoke)
    camera(at=(0, 0, 6), turn=(0, 0, 0))
    shots = choose_cameras(bpy.context, "ALL")
    for view in capture(bpy.context, shots * 2, TINY).views:
        middle = view.rgb[14:18, 18:22]
        assert middle.max() < 250 and view.rgb[..., 0].max() == 255, "the fog is not seen"
        assert view.depth[14:18, 18:22] == pytest.approx(12.0, rel=1e-4)


def test_alpha_cut_outs_are_seen_through():
    leaf = box("Leaf", 1.0, RED, at=(0, 0, -3))
    tree = leaf.active_material.node_tree
    clear, output = tree.nodes.new("ShaderNodeBsdfTransparent"), tree.nodes["Material Output"]
    tree.links.new(clear.outputs[0], output.inputs["Surface"])
    box("Wall", 4.0, GREEN, at=(0, 0, -10))
    camera(at=(0, 0, 0), turn=(0, 0, 0))
    captured = capture(bpy.context, choose_cameras(bpy.context, "ALL"), TINY)
    (view,) = captured.views
    assert [thing.name for thing in captured.instances.values()] == ["Wall"]
    assert view.depth[view.depth > 0] == pytest.approx(6.0, rel=1e-4)


def test_matrix_without_direction_is_named():
    seen = room()
    shots = choose_cameras(bpy.context, "ALL")
    seen.matrix_world = Matrix.Diagonal((0, 0, 0, 1))
    with pytest.raises(Exception, match="Camera 'Camera' has no direction"):
        capture(bpy.context, shots, TINY)
