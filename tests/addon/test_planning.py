# SPDX-License-Identifier: GPL-3.0-or-later
"""Planned cameras stand where a person would put them, coverage is what renders show, and the file is otherwise as it was."""

from pathlib import Path

import bpy
import numpy as np
import pytest
import splatonym
from splatonym.addon.capture import CaptureSettings, capture, choose_cameras
from splatonym.addon.capture.cameras import read_camera
from splatonym.addon.jobs import run_to_end
from splatonym.addon.planning import (
    CoverOptions,
    OrbitOptions,
    WalkOptions,
    clear_plan,
    cover_with,
    find_collection,
    find_coverage,
    plan_cover,
    plan_orbit,
    plan_walk,
    planned_cameras,
    surfaces,
)
from splatonym.addon.planning.space import find_ground
from splatonym.core.coverage import could_see
from splatonym.core.errors import InvalidInput
from splatonym.core.visibility import depth_at

from .capture_scenes import box, camera

SQUARE = CaptureSettings(width=128, height=128, samples=1, engine="CYCLES", denoise=False)
DEMO = Path(__file__).resolve().parents[2] / "addon" / "demo" / "room.blend"


@pytest.fixture(autouse=True)
def empty():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.resolution_x = bpy.context.scene.render.resolution_y = 64


@pytest.fixture
def addon():
    splatonym.register()
    yield bpy.ops.splatonym
    splatonym.unregister()


def block(name, low, high, collection=None):
    """A box from one corner to the other."""
    low, high = np.array(low, float), np.array(high, float)
    thing = box(name, 1.0, at=((low + high) / 2).tolist(), collection=collection)
    thing.scale = ((high - low) / 2).tolist()
    return thing


def room(low=(0, 0), high=(5, 4), floor=0.0, ceiling=True, table=True):
    """A room with walls 10 cm thick, 2.5 m high; its inside begins at `low` and ends at `high`."""
    (x0, y0), (x1, y1), z = low, high, floor
    block("Floor", (x0, y0, z - 0.2), (x1, y1, z))
    for name, a, b in (
        ("West", (x0 - 0.1, y0 - 0.1), (x0, y1 + 0.1)),
        ("East", (x1, y0 - 0.1), (x1 + 0.1, y1 + 0.1)),
        ("South", (x0, y0 - 0.1), (x1, y0)),
        ("North", (x0, y1), (x1, y1 + 0.1)),
    ):
        block(name, (*a, z - 0.2), (*b, z + 2.5))
    if ceiling:
        block("Ceiling", (x0 - 0.1, y0 - 0.1, z + 2.5), (x1 + 0.1, y1 + 0.1, z + 2.7))
    if table:
        block("Table", (x0 + 2, y0 + 1, z + 0.7), (x0 + 3.5, y0 + 2, z + 0.75))
    bpy.context.view_layer.update()


def plane(name, half, z=0.0):
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(-half, -half, z), (half, -half, z), (half, half, z), (-half, half, z)], [], [(0, 1, 2, 3)])
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def select(*things):
    bpy.context.view_layer.update()
    for thing in bpy.context.view_layer.objects:
        thing.select_set(thing in things)


def run(plan, *options):
    return run_to_end(plan(bpy.context, *options))


def positions(plan):
    bpy.context.view_layer.update()
    return np.array([bpy.data.objects[name].matrix_world.translation for name in plan.cameras])


def looks(plan):
    return np.array([bpy.data.objects[name].matrix_world.to_3x3().col[2] for name in plan.cameras]) * -1


def blocks_of_data():
    """The names and users of all datablocks, and what is selected and active."""
    data = {
        prop.identifier: sorted((block.name, block.users) for block in getattr(bpy.data, prop.identifier))
        for prop in bpy.data.bl_rna.properties
        if prop.type == "COLLECTION"
    }
    layer = bpy.context.view_layer
    chosen = sorted(thing.name for thing in layer.objects if thing.select_get())
    active = layer.objects.active.name if layer.objects.active else ""
    scene_camera = bpy.context.scene.camera.name if bpy.context.scene.camera else ""
    return data | {"selected": chosen, "active": active, "camera": scene_camera}


# --- orbits


def test_an_orbit_has_all_of_the_selection_in_every_picture():
    one, other = block("Low", (2, 3, 0), (3, 5, 0.5)), block("High", (3, 4, 0), (3.2, 4.2, 2))
    plane("Floor", 20, -0.01)
    select(one, other)
    plan = run(plan_orbit, OrbitOptions(count=10, rings=3, lowest=0.1, highest=0.9))
    assert len(plan.cameras) == 10 and not plan.notes
    corners = np.concatenate([[t.matrix_world @ v.co for v in t.data.vertices] for t in (one, other)])
    middle = (corners.min(0) + corners.max(0)) / 2
    largest = 0.0
    for name in plan.cameras:
        seen = read_camera(bpy.data.objects[name], 64, 64, bpy.context.scene)
        pixels, depth = seen.project(corners)
        assert (depth > bpy.data.objects[name].data.clip_start).all() and (pixels > 0).all() and (pixels < 64).all()
        largest = max(largest, np.ptp(pixels, axis=0).max())
    assert largest > 40  # and it fills the picture
    offsets = positions(plan) - middle
    heights = np.arcsin(offsets[:, 2] / np.linalg.norm(offsets, axis=1))
    np.testing.assert_allclose(np.unique(heights.round(3)), [0.1, 0.5, 0.9])


def test_orbit_cameras_are_ordinary_selected_and_replaced():
    select(block("Thing", (-1, -1, 0), (1, 1, 1)))
    old = camera("Old", lens=35.0, sensor_width=30.0, sensor_fit="HORIZONTAL", shift_x=0.2)
    camera("View.001")
    plan = run(plan_orbit, OrbitOptions(count=4))
    assert plan.cameras == ["View.000", "View.002", "View.003", "View.004"]
    assert [shot.name for shot in choose_cameras(bpy.context, "SELECTED")] == plan.cameras
    assert bpy.context.view_layer.objects.active.name == "View.000" and bpy.context.scene.camera == old
    assert [o.name for o in bpy.data.collections["Splatonym Cameras"].objects] == plan.cameras
    lens = bpy.data.objects["View.000"].data
    assert (lens.lens, lens.sensor_width, lens.sensor_fit, lens.shift_x) == (35.0, 30.0, "HORIZONTAL", 0.0)
    select(bpy.data.objects["Thing"])
    assert run(plan_orbit, OrbitOptions(count=2)).cameras == ["View.000", "View.002"]
    assert len(bpy.data.cameras) == 3 and len(bpy.data.collections) == 1


def test_without_an_active_camera_the_lens_is_wide_and_the_first_becomes_active():
    thing = block("Thing", (-1, -1, 0), (1, 1, 1))
    for _ in range(2):
        select(thing)
        plan = run(plan_orbit, OrbitOptions(count=2))
        assert bpy.context.scene.camera.name == plan.cameras[0] and bpy.context.scene.camera.data.lens == 24.0


def test_an_orbit_stays_above_the_floor_and_before_the_wall():
    thing = block("Thing", (-0.5, -0.5, 0), (0.5, 0.5, 1))
    plane("Floor", 20)
    block("Wall", (-20, 1, 0), (20, 1.2, 3))
    select(thing)
    plan = run(plan_orbit, OrbitOptions(count=24, rings=2, lowest=-0.6, highest=0.4))
    at = positions(plan)
    assert 4 <= len(at) < 24 and (at[:, 2] > 0).all() and (at[:, 1] < 1).all()
    assert any(f"{24 - len(at)} of 24 were left out" in note for note in plan.notes)


def test_a_blocked_camera_moves_nearer():
    thing = block("Thing", (-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
    select(thing)
    free = np.linalg.norm(positions(run(plan_orbit, OrbitOptions(count=4, rings=1, lowest=0.0))), axis=1)
    reached = float(free[0] * 0.9)
    block("Wall", (reached, -5, -5), (reached + 0.1, 5, 5))
    select(thing)
    plan = run(plan_orbit, OrbitOptions(count=4, rings=1, lowest=0.0))
    assert len(plan.cameras) == 4 and "1 of them are nearer" in plan.notes[0]
    assert positions(plan)[0, 0] == pytest.approx(free[0] * 0.7, rel=1e-4)  # at 0.85 it would touch the wall


def test_orbits_that_cannot_be():
    thing = block("Thing", (-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
    select()
    with pytest.raises(InvalidInput, match="Nothing that has a surface is selected"):
        run(plan_orbit, OrbitOptions())
    select(camera())
    with pytest.raises(InvalidInput, match="Nothing that has a surface is selected"):
        run(plan_orbit, OrbitOptions())
    select(thing)
    for options, words in (
        (OrbitOptions(count=0), "0 cameras"),
        (OrbitOptions(rings=-1), "-1 rings"),
        (OrbitOptions(margin=0.2), "distance 0.2"),
    ):
        with pytest.raises(InvalidInput, match=words) as found:
            run(plan_orbit, options)
        assert found.value.hint
    box("Shell", 0.8)
    with pytest.raises(InvalidInput, match=r"All 16 places .* blocked"):
        run(plan_orbit, OrbitOptions())
    thing.hide_render = True
    with pytest.raises(InvalidInput, match="Nothing that has a surface"):
        run(plan_orbit, OrbitOptions())


def test_an_empty_stands_for_what_hangs_on_it():
    handle = bpy.data.objects.new("Handle", None)
    bpy.context.scene.collection.objects.link(handle)
    block("Part", (4, 4, 0), (5, 5, 1)).parent = handle
    block("Other", (-9, 0, 0), (-8, 1, 1))
    select(handle)
    assert np.linalg.norm(positions(run(plan_orbit, OrbitOptions(count=4))).mean(0)[:2] - 4.5) < 0.5


# --- free space and walks


def ground(eye=1.5, where="AUTO"):
    return run_to_end(find_ground(surfaces.collect(bpy.context), eye, where))


@pytest.mark.parametrize("ceiling", [True, False])
@pytest.mark.parametrize("outside", [True, False])
def test_the_floor_of_a_room_is_found(ceiling, outside):
    room(ceiling=ceiling)
    if outside:
        plane("Ground", 50, -0.3)
    found = ground()
    assert found.indoors and found.area == pytest.approx(20, rel=0.25)
    np.testing.assert_allclose(found.points[:, 2], 0, atol=1e-5)  # not the table, the roof, or the ground outside
    assert (found.points[:, :2] > 0.29).all() and (found.points[:, :2] < [4.71, 3.71]).all()
    over_table = (np.abs(found.points[:, :2] - [2.75, 1.5]) < [0.7, 0.4]).all(1)
    assert over_table.any()  # at eye height there is room over it


def test_two_storeys_and_a_small_room():
    room(table=False)
    room(floor=2.7, table=False)
    block("Partition", (3.8, 0, 0), (3.9, 4, 2.5))
    found = ground()
    assert set(found.points[:, 2].round(1)) == {0.0, 2.7}
    assert ((found.points[:, 0] > 4) & (found.points[:, 2] < 1)).any()


def test_outdoors_is_where_there_are_no_rooms():
    plane("Ground", 50)
    for k in range(3):
        block(f"House {k}", (4 * k, 0, 0), (4 * k + 2, 3, 4))  # hollow, as meshes are, and no rooms for that
    found = ground()
    assert not found.indoors and len(found.points)
    inside = (found.points[:, 0] % 4 < 2) & (np.abs(found.points[:, 0] - 5) < 5) & (np.abs(found.points[:, 1] - 1.5) < 1.5)
    assert not inside.any()
    assert (np.abs(found.points[:, :2]) < 25).all()  # around the houses, not all over the ground
    assert ground(where="INDOORS").indoors
    room((20, 20), (25, 24), table=False)
    assert ground().indoors and not ground(where="OUTDOORS").indoors
    with pytest.raises(InvalidInput, match="'ROOF'"):
        ground(where="ROOF")


def test_a_walk_is_at_eye_height_all_over_the_room_and_looks_across_it():
    room()
    plan = run(plan_walk, WalkOptions(count=8))
    at, ways = positions(plan), looks(plan)
    assert len(at) == 8
    np.testing.assert_allclose(at[:, 2], 1.5, atol=1e-4)
    assert np.ptp(at[:, 0]) > 3 and np.ptp(at[:, 1]) > 2  # of 5 x 4
    to_walls = np.where(ways[:, :2] > 0, np.array([5, 4]) - at[:, :2], at[:, :2]) / np.maximum(np.abs(ways[:, :2]), 1e-6)
    assert to_walls.min(1).min() > 1.5 and to_walls.min(1).mean() > 2.5  # before each camera is room
    yaws = np.arctan2(ways[:, 1], ways[:, 0])
    assert np.abs(np.exp(1j * yaws).mean()) < 0.6  # not all the same way
    assert (np.abs(ways[:, 2]) < 0.2).all()
    steps = np.linalg.norm(np.diff(at, axis=0), axis=1)
    assert np.median(steps) < 2 and bpy.data.objects["View.000"].data.clip_start <= 0.15


def test_more_cameras_than_spots_look_in_different_directions():
    room((0, 0), (1.4, 1.4), table=False)
    plan = run(plan_walk, WalkOptions(count=30))
    where = np.round(np.concatenate([positions(plan), looks(plan)], axis=1), 3)
    assert len(where) == 30 and len(np.unique(where, axis=0)) == 30


def test_a_walk_outdoors_looks_at_the_things():
    plane("Ground", 50)
    block("House", (-2, -2, 0), (2, 2, 4))
    plan = run(plan_walk, WalkOptions(count=8))
    at, ways = positions(plan)[:, :2], looks(plan)[:, :2]
    assert ((ways * -at).sum(1) / np.linalg.norm(ways, axis=1) / np.linalg.norm(at, axis=1) > 0.7).all()


def test_eye_heights_are_metres_whatever_the_scenes_unit():
    room()
    for thing in bpy.context.scene.objects:
        thing.location *= 100
        thing.scale *= 100
    bpy.context.scene.unit_settings.scale_length = 0.01
    bpy.context.view_layer.update()
    np.testing.assert_allclose(positions(run(plan_walk, WalkOptions(count=3)))[:, 2], 150, atol=0.01)


def test_walks_that_cannot_be():
    box("Thing", 0.5)
    with pytest.raises(InvalidInput, match=r"no floor with 1\.65 m") as found:
        run(plan_walk, WalkOptions())
    assert "eye height" in found.value.hint
    for options, words in (
        (WalkOptions(count=0), "0 cameras"),
        (WalkOptions(eye_height=-1.0), "-1 m"),
        (WalkOptions(where="ROOF"), "ROOF"),
    ):
        with pytest.raises(InvalidInput, match=words):
            run(plan_walk, options)
    bpy.data.objects["Thing"].hide_render = True
    with pytest.raises(InvalidInput, match="has no surfaces"):
        run(plan_walk, WalkOptions())


# --- coverage


def test_cover_sees_a_room_twice_with_few_cameras():
    room()
    plan = run(plan_cover, CoverOptions(most=12))
    assert len(plan.cameras) <= 12 and plan.coverage.share(1) > 0.95 and plan.coverage.share() > 0.9
    at = positions(plan)
    assert (at > 0.25).all() and (at < [4.75, 3.75, 2.3]).all()
    names = {name for name, _ in plan.coverage.by_owner()}
    assert names == {"Floor", "West", "East", "South", "North", "Ceiling", "Table"}
    fewer = run(plan_cover, CoverOptions(most=12, enough=0.5))
    assert len(fewer.cameras) < 8 and fewer.coverage.share() >= 0.5


def test_coverage_is_what_renders_show():
    room()
    plan = run(plan_cover, CoverOptions(most=5, detail=1.0, resolution=64))
    views = capture(bpy.context, choose_cameras(bpy.context, "SELECTED"), SQUARE).views
    samples = plan.coverage.samples
    times = np.zeros(len(samples), dtype=int)
    for view in views:
        own, found = depth_at(samples.points, view.camera, view.depth)
        times += could_see(view.camera, samples, np.inf) & (np.abs(own - found) < 0.03 * own)
    assert len(np.unique(positions(plan).round(3), axis=0)) == 5  # so that times are numbers of cameras
    assert (times == plan.coverage.times).mean() > 0.95  # the rest is at edges, where a pixel is not a point


def test_only_the_selection_is_covered():
    room()
    small = block("Cup", (2.5, 1.5, 0.75), (2.6, 1.6, 0.85))
    select(small)
    plan = run(plan_cover, CoverOptions(most=8, only_selected=True))
    assert [name for name, _ in plan.coverage.by_owner()] == ["Cup"] and plan.coverage.share() > 0.9
    assert np.linalg.norm(positions(plan) - [2.55, 1.55, 0.8], axis=1).max() < 1  # near enough for so small a thing
    assert bpy.data.objects[plan.cameras[0]].data.clip_start < 0.05
    assert (positions(plan)[:, 2] > 0.75).all()  # not below the table
    select()
    with pytest.raises(InvalidInput, match="Nothing that has a surface is selected"):
        run(plan_cover, CoverOptions(only_selected=True))


def test_a_thing_without_a_floor_is_covered_from_around():
    box("Thing", 0.5)
    plan = run(plan_cover, CoverOptions(most=12))
    assert plan.coverage.share(1) > 0.95 and (np.abs(positions(plan)).max(1) > 0.5).all()


def test_the_ground_outdoors_does_not_outweigh_the_things():
    plane("Ground", 200)
    block("House", (0, 0, 0), (4, 4, 4))
    plan = run(plan_cover, CoverOptions(most=10))
    assert dict(plan.coverage.by_owner(1))["House"] > 0.95
    assert (np.abs(positions(plan)[:, :2] - 2) < 30).all() and (positions(plan)[:, 2] > 0).all()


def test_covers_that_cannot_be():
    room()
    for options, words in (
        (CoverOptions(most=0), "0 cameras"),
        (CoverOptions(enough=0.0), "share of 0"),
        (CoverOptions(enough=1.5), "share of 1.5"),
        (CoverOptions(detail=-1.0), "detail is -1 m"),
        (CoverOptions(eye_height=0.0), "eye height is 0 m"),
        (CoverOptions(detail=0.0001, resolution=16), "covers 0.0001 m or less"),
    ):
        with pytest.raises(InvalidInput, match=words) as found:
            run(plan_cover, options)
        assert found.value.hint


def test_coverage_of_cameras_that_are_there():
    room()
    camera("Middle", at=(2.5, 3.5, 1.5), turn=(1.3, 0, np.pi), lens=20.0)
    shots = choose_cameras(bpy.context, "ALL")
    one = run(cover_with, shots, CoverOptions())
    assert 0.1 < one.coverage.share(1) < 0.7 and one.coverage.share() == 0
    shares = dict(one.coverage.by_owner(1))
    assert shares["North"] == 0 and shares["South"] > 0.8  # it stands before the one and looks at the other
    camera("Same place", at=(2.5, 3.5, 1.501), turn=(1.3, 0, np.pi), lens=20.0)
    assert run(cover_with, choose_cameras(bpy.context, "ALL"), CoverOptions()).coverage.share() == 0
    camera("Elsewhere", at=(1.5, 3.5, 1.5), turn=(1.3, 0, np.pi), lens=20.0)
    camera("Flat", at=(2.5, 3.5, 1.5), turn=(1.3, 0, np.pi), type="ORTHO", ortho_scale=3.0)
    assert run(cover_with, choose_cameras(bpy.context, "ALL"), CoverOptions()).coverage.share() > 0.1
    bpy.data.objects["Middle"].data.clip_start = 3.0
    near = run(cover_with, choose_cameras(bpy.context, names=["Middle"]), CoverOptions())
    assert 0 < near.coverage.share(1) < one.coverage.share(1)


def test_the_coverage_that_is_shown():
    room()
    plan = run(plan_cover, CoverOptions(most=3))
    shown = find_coverage(bpy.context.scene)
    assert shown.hide_render and shown.hide_select and len(shown.data.polygons) == len(plan.coverage.samples)
    times = np.zeros(len(shown.data.polygons), dtype=np.int32)
    shown.data.attributes["coverage"].data.foreach_get("value", times)
    np.testing.assert_array_equal(times, plan.coverage.times)
    slots = np.zeros(len(times), dtype=np.int32)
    shown.data.polygons.foreach_get("material_index", slots)
    np.testing.assert_array_equal(slots, np.minimum(times, 3))
    assert len({tuple(m.diffuse_color) for m in shown.data.materials}) == 4
    centres = np.array([p.center for p in shown.data.polygons])
    inside = (centres > 0).all(1) & (centres < [5, 4, 2.5]).all(1)
    assert inside.mean() > 0.99  # the dots lie on the side that is seen, not inside the walls
    fronts = np.array([p.normal for p in shown.data.polygons])
    assert ((fronts * plan.coverage.samples.normals).sum(1) > 0.99).all()
    assert not shown.data.validate()
    before = surfaces.collect(bpy.context)
    assert "Splatonym Coverage" not in before.names  # nor are they a surface
    select(bpy.data.objects["Table"])
    run(plan_orbit, OrbitOptions(count=3))
    assert find_coverage(bpy.context.scene) is None  # it was of other cameras
    run(plan_cover, CoverOptions(most=3, show=False))
    assert find_coverage(bpy.context.scene) is None


# --- the file


PLANS = [(plan_orbit, OrbitOptions(count=3)), (plan_walk, WalkOptions(count=3)), (plan_cover, CoverOptions(most=3))]


@pytest.mark.parametrize("plan, options", PLANS, ids=["orbit", "walk", "cover"])
def test_nothing_is_left_after_clearing_and_nothing_changes_before_the_end(plan, options):
    room()
    select(bpy.data.objects["Table"])
    before = blocks_of_data()
    work = plan(bpy.context, options)
    fractions = []
    for step in work:
        assert blocks_of_data() == before
        fractions.append(step.fraction)
        if len(fractions) == 1:
            work.close()
    assert blocks_of_data() == before
    told = [step.fraction for step in plan(bpy.context, options)]
    assert told == sorted(told) and told[0] >= 0 and told[-1] <= 1
    assert len(planned_cameras(bpy.context.scene)) == 3 and blocks_of_data() != before
    clear_plan(bpy.context.scene)
    select(bpy.data.objects["Table"])
    bpy.context.view_layer.objects.active = None
    assert blocks_of_data() == before


def test_what_a_person_took_out_or_put_in_is_theirs():
    room()
    plan = run(plan_walk, WalkOptions(count=3))
    scene, kept = bpy.context.scene, bpy.data.objects[plan.cameras[1]]
    collection = find_collection(scene)
    collection.name = "My cameras"
    collection.objects.unlink(kept)
    scene.collection.objects.link(kept)
    collection.objects.link(block("Mine", (1, 1, 0), (1.2, 1.2, 0.2)))
    again = run(plan_walk, WalkOptions(count=3))
    assert kept.name in scene.objects and kept.name not in again.cameras and find_collection(scene).name == "My cameras"
    assert clear_plan(scene) == (3, False)
    assert "Mine" in scene.objects and kept.name in scene.objects and find_collection(scene) == collection


def test_a_plan_that_was_excluded_is_taken_in_again():
    room()
    run(plan_walk, WalkOptions(count=3))
    bpy.context.view_layer.layer_collection.children["Splatonym Cameras"].exclude = True
    plan = run(plan_walk, WalkOptions(count=4))
    assert [shot.name for shot in choose_cameras(bpy.context, "SELECTED")] == plan.cameras


def test_in_edit_mode_the_mode_stays():
    room()
    bpy.context.view_layer.objects.active = bpy.data.objects["Table"]
    bpy.ops.object.mode_set(mode="EDIT")
    plan = run(plan_walk, WalkOptions(count=3))
    assert bpy.context.mode == "EDIT_MESH" and bpy.context.view_layer.objects.active.name == "Table"
    assert [shot.name for shot in choose_cameras(bpy.context, "SELECTED")] == plan.cameras
    bpy.ops.object.mode_set(mode="OBJECT")


def test_a_scene_that_goes_away_is_said():
    room()
    work = plan_walk(bpy.context, WalkOptions(count=3))
    next(work)
    bpy.context.scene.name = "Renamed"
    with pytest.raises(InvalidInput, match="'Scene' went away"):
        run_to_end(work)


# --- surfaces


def owners():
    found = surfaces.collect(bpy.context)
    return {found.names[k] for k in np.unique(found.owners)}


def test_surfaces_are_what_renders_show():
    scene, layer = bpy.context.scene, bpy.context.view_layer
    box("Plain", 0.5)
    box("Hidden in renders", 0.5).hide_render = True
    box("Hidden from the camera", 0.5).visible_camera = False
    box("Display disabled", 0.5).hide_viewport = True
    box("Out of sight", 0.5).hide_set(True)
    result = box("Result", 0.5)
    result["splatonym_result"] = "1"
    for name, key in (
        ("Off", "exclude"),
        ("Not rendered", "hide_render"),
        ("Not displayed", "hide_viewport"),
        ("Of a result", ""),
    ):
        collection = bpy.data.collections.new(name)
        scene.collection.children.link(collection)
        box(f"In {name}", 0.5, collection=collection)
        if key == "exclude":
            layer.layer_collection.children[name].exclude = True
        elif key:
            setattr(collection, key, True)
        else:
            collection["splatonym_result"] = "1"
    fog = box("Fog", 5.0, (1, 1, 1, 1))
    tree = fog.data.materials[0].node_tree
    tree.nodes.clear()
    smoke, output = tree.nodes.new("ShaderNodeVolumePrincipled"), tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(smoke.outputs[0], output.inputs["Volume"])
    points = bpy.data.objects.new("Points", bpy.data.pointclouds.new("Points"))
    scene.collection.objects.link(points)
    scene.collection.objects.link(bpy.data.objects.new("Loose", bpy.data.meshes.new("Loose")))
    text = bpy.data.objects.new("Text", bpy.data.curves.new("Text", "FONT"))
    text.data.body = "A"
    scene.collection.objects.link(text)
    layer.update()
    assert owners() == {"Plain", "Display disabled", "Out of sight", "In Not displayed", "Text"}


def test_modifiers_and_instances_are_there():
    scene = bpy.context.scene
    thing = box("Thing", 0.5)
    thing.modifiers.new("Array", "ARRAY").count = 3
    hidden = box("Hidden", 0.5)
    hidden.modifiers.new("Array", "ARRAY").count = 2
    hidden.hide_set(True)
    source = bpy.data.collections.new("Source")
    box("Chair", 0.5, collection=source)
    box("Hidden chair", 0.5, collection=source).hide_render = True
    for k in range(2):
        copy = bpy.data.objects.new(f"Copy {k}", None)
        copy.instance_type, copy.instance_collection = "COLLECTION", source
        copy.location.x = 10 * (k + 1)
        scene.collection.objects.link(copy)
    select(bpy.data.objects["Copy 1"])
    found = surfaces.collect(bpy.context)
    counts = {name: int((found.owners == k).sum()) for k, name in enumerate(found.names)}
    assert counts == {"Thing": 36, "Hidden": 24, "Chair": 24}
    assert found.chosen.sum() == 12 and found.triangles[found.chosen][..., 0].min() == pytest.approx(19.5)
    bpy.data.objects["Copy 0"].hide_render = True
    assert len(surfaces.collect(bpy.context).triangles) == 72


def test_what_is_on_vertices_and_in_nodes_is_there():
    plant = box("Plant", 0.1)
    field = plane("Field", 3)
    plant.parent, field.instance_type = field, "VERTS"
    field.show_instancer_for_render = False
    nodes = plane("Nodes", 3, 1.0).modifiers.new("Nodes", "NODES")
    tree = nodes.node_group = bpy.data.node_groups.new("Nodes", "GeometryNodeTree")
    for direction in ("INPUT", "OUTPUT"):
        tree.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    first, last = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
    cube, spread = tree.nodes.new("GeometryNodeMeshCube"), tree.nodes.new("GeometryNodeInstanceOnPoints")
    tree.links.new(first.outputs[0], spread.inputs["Points"])
    tree.links.new(cube.outputs[0], spread.inputs["Instance"])
    tree.links.new(spread.outputs[0], last.inputs[0])
    bpy.context.view_layer.update()
    found = surfaces.collect(bpy.context)
    counts = {name: int((found.owners == k).sum()) for k, name in enumerate(found.names)}
    assert counts == {"Plant": 60, "Nodes": 48}  # the plant itself and four, but not what they stand on


def test_rays_end_at_surfaces():
    room(table=False)
    found = surfaces.collect(bpy.context)
    middle = np.array([2.5, 2, 1.5])
    ends = np.array([[0, 2, 1], [-0.1, 2, 1], [2.5, 0, 2], [2.5, 2, 2.7], [6, 2, 1]], float)
    np.testing.assert_array_equal(found.open_between(middle, ends), [True, False, True, False, False])
    np.testing.assert_array_equal(found.is_clear(np.array([middle, [0.1, 2, 1.5]]), 0.3), [True, False])


def test_many_triangles_are_thinned_to_the_same_area(monkeypatch):
    monkeypatch.setattr(surfaces, "MOST", 20_000)
    monkeypatch.setattr(surfaces, "THINNED_ABOVE", 2_000)
    room(table=False)
    bpy.ops.mesh.primitive_uv_sphere_add(segments=200, ring_count=200, radius=0.5, location=(2, 2, 1))
    found = surfaces.collect(bpy.context)
    ball = found.triangles[found.owners == found.names.index("Sphere")]
    area = np.linalg.norm(np.cross(ball[:, 1] - ball[:, 0], ball[:, 2] - ball[:, 0]), axis=1).sum() / 2
    assert 10_000 < len(ball) < 25_000 and area == pytest.approx(np.pi, rel=0.05) and found.slack > 0
    assert (found.owners == found.names.index("Floor")).sum() == 12
    assert run(plan_cover, CoverOptions(most=8)).coverage.share(1) > 0.8


# --- operators


def test_operators_plan_show_and_clear(addon):
    room()
    before = blocks_of_data()
    bpy.ops.ed.undo_push(message="before")
    assert addon.plan_walk("EXEC_DEFAULT", True, count=3) == {"FINISHED"}
    assert len(planned_cameras(bpy.context.scene)) == 3
    assert splatonym.addon.jobs.state.message == "3 cameras in 'Splatonym Cameras', selected."
    bpy.ops.ed.undo()
    assert blocks_of_data() == before
    assert addon.plan_cover(count=4) == {"FINISHED"}
    assert splatonym.addon.jobs.state.message.startswith("4 cameras see ")
    assert addon.clear_plan(cameras=False) == {"FINISHED"}
    assert len(planned_cameras(bpy.context.scene)) == 4 and find_coverage(bpy.context.scene) is None
    assert addon.show_coverage() == {"FINISHED"}  # of the selected ones: those that were planned
    assert splatonym.addon.jobs.state.message.startswith("4 cameras see ")
    assert addon.clear_plan() == {"FINISHED"}
    assert find_collection(bpy.context.scene) is None and not addon.clear_plan.poll()


def test_operators_say_what_is_wrong(addon):
    room()
    select()
    assert not addon.plan_orbit.poll()
    for source in ("SELECTED", "ALL"):
        with pytest.raises(RuntimeError, match="has no camera"):
            addon.show_coverage(camera_source=source)
    bpy.context.scene.splatonym.camera_source = "ACTIVE_ANIMATED"
    with pytest.raises(RuntimeError, match="stand still"):
        addon.show_coverage()
    with pytest.raises(RuntimeError, match="no floor with 11 m"):
        addon.plan_walk(eye_height=10)
    select(bpy.data.objects["Table"])
    assert addon.plan_orbit(count=5) == {"FINISHED"}


def test_every_operator_says_what_it_does_and_what_its_settings_are(addon):
    for name in ("plan_orbit", "plan_walk", "plan_cover", "show_coverage", "clear_plan"):
        kind = getattr(addon, name).get_rna_type()
        assert kind.description and not kind.description.endswith(".")
        for prop in kind.properties:
            assert prop.identifier == "rna_type" or (prop.name and prop.description), (name, prop.identifier)


# --- the demo room


def test_ten_planned_cameras_cover_the_demo_room_better_than_its_own():
    bpy.ops.wm.open_mainfile(filepath=str(DEMO), load_ui=False)
    own = run(cover_with, choose_cameras(bpy.context, "ALL"), CoverOptions())
    plan = run(plan_cover, CoverOptions(most=10))
    assert own.coverage.share() > 0.55
    assert plan.coverage.share() > own.coverage.share() + 0.03 and plan.coverage.share(1) > own.coverage.share(1) + 0.02
