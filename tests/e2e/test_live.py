# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view over a real server process: everything but the drawing, which needs a window (tests/gui)."""

import os
import signal
import time

import bpy
import numpy as np
import pytest
from mathutils import Matrix
from splatonym.addon import connection, jobs, live
from splatonym.addon.build import build_scene, find_results, remove_result, set_answer
from splatonym.addon.live import hiding, running
from splatonym.addon.live.asking import LiveView, Wanted
from splatonym.addon.live.cameras import view_camera
from splatonym.addon.live.source import Source
from splatonym.core.gaussians import GaussianArrays, sh_from_rgb
from splatonym.core.heat import heat_colours
from splatonym.core.labels import LabelMap, label_colour
from splatonym.core.protocol import pack_camera, unpack_pictures, unpack_texels
from splatonym.core.scene import SemanticScene
from splatonym.core.wire.errors import ServerDied

LABELS = LabelMap(("chair", "table"))
SIZE = (96, 64)


def two_sheets(count=40):
    """A red sheet of chairs on the left, a blue one of tables on the right, 4 units before the view."""
    side = np.linspace(-1.5, 1.5, count)
    x, y = (part.ravel() for part in np.meshgrid(side, side))
    right = x > 0
    return SemanticScene(
        "Sheets",
        GaussianArrays(
            np.float32(np.column_stack([x, y, -4 - 0.1 * y])),
            np.tile(np.float32([1, 0, 0, 0]), (len(x), 1)),
            np.full((len(x), 3), 0.06, np.float32),
            np.full(len(x), 0.95, np.float32),
            sh_from_rgb(np.where(right[:, None], (0.1, 0.2, 0.9), (0.9, 0.2, 0.1))),
            right.astype(np.int32),
            right.astype(np.int32) + 1,
            np.where(right, 1, 0.25).astype(np.float32),
        ),
        LABELS,
    )


def a_view(across=0.0):
    width, height = SIZE
    window = Matrix(((1.5, 0, 0, 0), (0, 1.5 * width / height, 0, 0), (0, 0, -1.0002, -0.2), (0, 0, -1, 0)))
    return view_camera(window, Matrix.Translation((-across, 0, 0)), width, height)


@pytest.fixture
def sheets(addon):
    return build_scene(bpy.context.scene, two_sheets())


def a_source():
    return Source(bpy.context.scene.name, bpy.context.view_layer.name, "")


def send(source, seconds=60):
    """Step the source until the server has what there is now."""
    end = time.monotonic() + seconds
    source.look_for_changes(time.monotonic())
    while source.busy or not source.number:
        source.advance(time.monotonic())
        assert time.monotonic() < end, "the scene was not sent"
        time.sleep(0.005)
    return source.number


def settle(view, source, show="COLOUR", across=0.0, seconds=60):
    """Look until the picture is as good as it gets; its colours and depth."""
    end = time.monotonic() + seconds
    view.want(Wanted(a_view(across), source.number, show), time.monotonic())
    while not view.finished(time.monotonic()):
        view.pump(time.monotonic())
        assert time.monotonic() < end, "no picture came"
        time.sleep(0.005)
    return unpack_texels(view.picture.texels)


def test_the_picture_at_rest_is_what_the_server_renders(sheets):
    source = a_source()
    number, view = send(source), LiveView(source.ask)
    rgb, depth = settle(view, source)
    assert view.picture.texels.shape[:2] == (SIZE[1], SIZE[0]) and view.picture.scale == 1
    camera = a_view().camera
    answer = connection.client().submit("render", {"scene": number, "cameras": [pack_camera(camera)]}).result(60)
    full = unpack_pictures([camera], answer[1])[0]
    there = full.depth != 0
    assert 0.3 < there.mean() < 1
    assert np.abs(rgb[there].astype(int) - full.rgb[there]).max() <= 1
    np.testing.assert_allclose(depth[there], full.depth[there], rtol=1e-4)
    named, _ = settle(view, source, "CLASS")
    table = np.array([label_colour(name) for name in LABELS.names])
    np.testing.assert_array_equal(named[there], table[full.classes[there]])
    source.close()


def test_every_show_and_a_moving_view(sheets):
    source = a_source()
    send(source)
    view = LiveView(source.ask)
    for show in ("COLOUR", "INSTANCE", "DEPTH", "CONFIDENCE"):
        rgb, depth = settle(view, source, show)
        assert (depth != 0).any() and len(np.unique(rgb[depth != 0], axis=0)) > 1, show
    for step in range(8):  # the view goes on before answers come
        view.want(Wanted(a_view(0.1 * step), source.number, "COLOUR"), time.monotonic())
        view.pump(time.monotonic())
    rgb, depth = settle(view, source, across=0.7)
    columns = np.flatnonzero((depth != 0).any(0))
    assert columns[0] < 8 and columns[-1] < SIZE[0] - 20  # the sheets went to the left
    source.close()


def test_an_answer_is_shown_and_a_new_one_after_it(sheets):
    source = a_source()
    send(source)
    assert not source.has_scores
    view = LiveView(source.ask)
    for left, right in ((0.0, 1.0), (1.0, 0.0)):
        count = sheets.count
        scores = np.where(np.arange(count) < count // 2, left, right).astype(np.float32)  # classes lie one after the other
        set_answer(sheets.collection, scores, scores > 0.5)
        source.changed(time.monotonic())
        send(source)
        assert source.has_scores
        rgb, depth = settle(view, source, "ANSWER")
        row = SIZE[1] // 2
        for column, score in ((SIZE[0] // 4 + 6, left), (3 * SIZE[0] // 4 - 6, right)):
            assert depth[row, column] != 0
            assert np.abs(rgb[row, column].astype(int) - heat_colours(np.float64(score))).max() <= 12
    source.close()


def in_memory():
    """The scenes that the server has at hand; others may lie on its disk."""
    return {entry["id"] for entry in connection.client().submit("scenes").result(30)[0]["scenes"] if entry["in_memory"]}


def test_a_result_that_changes_is_sent_again_and_the_old_one_forgotten(sheets):
    source = a_source()
    before, view = send(source), LiveView(source.ask)
    _, depth = settle(view, source)
    for group in sheets.classes:
        group.objects[0].location.z -= 2
    bpy.context.view_layer.update()
    after = send(source)
    assert after != before
    _, moved = settle(view, source)
    there = (depth != 0) & (moved != 0)
    np.testing.assert_allclose(np.median(moved[there] - depth[there]), 2, atol=0.05)
    assert in_memory() == {after}
    hidden = sheets.classes[0].objects[0]
    hidden.hide_set(True)
    send(source)
    _, half = settle(view, source)
    assert 0.3 < (half != 0).sum() / (moved != 0).sum() < 0.7
    source.close()
    assert not in_memory()


def test_a_server_that_lost_the_scene_gets_it_again(sheets):
    source = a_source()
    number = send(source)
    pid = connection.client().pid
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while connection._connection.client.alive and time.monotonic() < deadline:
        time.sleep(0.02)
    view = LiveView(source.ask)
    view.want(Wanted(a_view(), number, "COLOUR"), time.monotonic())
    region = running._Region(0, ("a", "b", ""), view)
    running._state.sources[region.source] = source
    try:
        end = time.monotonic() + 60
        while view.picture is None:
            running._pump(region, time.monotonic())
            source.advance(time.monotonic())
            assert time.monotonic() < end
            time.sleep(0.005)
    finally:
        running._state.sources.clear()
    assert connection.client().pid != pid and source.number != number
    source.close()


def test_a_server_that_is_stopped_while_it_gets_the_scene_is_followed_by_another(sheets):
    connection.close()
    source = a_source()
    source.look_for_changes(time.monotonic())
    end = time.monotonic() + 60
    while source.step.stage == "Read":
        source.advance(time.monotonic())
        assert time.monotonic() < end
    connection.close()  # as a set-up does
    assert send(source)
    source.close()


def test_a_result_that_goes_while_it_is_read_is_no_bug_of_ours(sheets):
    source = a_source()
    source.advance(time.monotonic())
    assert source.step.text, "it has begun to read"
    remove_result(bpy.context.scene, find_results(bpy.context.scene)[0].id)
    for _step in range(10):
        source.advance(time.monotonic())
    assert not source.number and source.find() is None
    source.close()


# --- with Blender's own window data: everything but drawing ---------------------------------------------------------------------


@pytest.fixture
def viewport(addon, sheets):
    """A 3D viewport of the file's window, which nobody draws: the test says what it shows."""
    screens = [window.screen for window in bpy.context.window_manager.windows]
    areas = [area for screen in screens for area in screen.areas]
    if not areas:
        pytest.skip("this Blender has no window data in the background")
    areas[0].type = "VIEW_3D"
    yield areas[0].spaces.active  # not to be touched after a test that loads another file
    live.stop_all()


def begin(space, show="COLOUR"):
    live.start(space)
    key = (bpy.context.scene.name, bpy.context.view_layer.name, "")
    source = running._state.sources[key] = Source(*key)
    region = running._state.regions[1] = running._Region(space.as_pointer(), key, LiveView(source.ask))
    region.drawn_at = time.monotonic()
    region.live.want(Wanted(a_view(), "", show), time.monotonic())
    return region


def run(until, seconds=60):
    end = time.monotonic() + seconds
    while not until():
        running._tick()
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


def test_points_are_hidden_while_they_are_shown_live_and_the_end_leaves_nothing(viewport, sheets):
    region = begin(viewport)
    assert live.is_live(viewport) and live.status(viewport) in ("READ", "SERVER")
    run(lambda: region.live.picture is not None and hiding.HIDDEN in sheets.collection)
    assert live.status(viewport) == "ON"
    assert max(running.figures().ticks) < 1.0
    live.stop(viewport)
    assert not live.any_live() and hiding.HIDDEN not in sheets.collection
    assert not bpy.app.timers.is_registered(running._tick) and not running._state.regions


def test_while_a_job_runs_nothing_is_asked(viewport):
    region = begin(viewport)
    run(lambda: region.live.picture is not None)
    run(lambda: region.live.finished(time.monotonic()))

    def forever():
        while True:
            yield jobs.Step("Work", 0.5)

    jobs.state.work = forever()
    try:
        region.live.want(Wanted(a_view(0.5), region.live.wanted.scene, "COLOUR"), time.monotonic())
        for _ in range(20):
            running._tick()
        assert not region.live.waiting and live.status(viewport) == "JOB"
    finally:
        jobs.stop()
    shown = region.live.picture
    run(lambda: region.live.picture is not shown)


def test_a_server_that_dies_turns_it_off_with_a_sentence_and_a_button(viewport):
    region = begin(viewport)
    run(lambda: region.live.picture is not None)
    run(lambda: region.live.finished(time.monotonic()))
    pid = connection.client().pid
    os.kill(pid, signal.SIGSTOP)  # so that the question is on its way when it dies
    region.live.want(Wanted(a_view(0.5), region.live.wanted.scene, "COLOUR"), time.monotonic())
    running._tick()
    assert region.live.waiting
    os.kill(pid, signal.SIGKILL)
    run(lambda: not live.any_live())
    assert isinstance(jobs.state.error, ServerDied) and jobs.state.place == "live"
    assert jobs.state.error.repair == "splatonym.live_view"
    jobs.state.told("predict")


def test_a_removed_result_turns_it_off_and_says_so(viewport, sheets):
    region = begin(viewport)
    run(lambda: region.live.picture is not None)
    remove_result(bpy.context.scene, sheets.id)
    run(lambda: not live.any_live())
    assert jobs.state.place == "live" and "gone" in jobs.state.message
    jobs.state.told("predict")


def test_undo_and_another_file(viewport, sheets, tmp_path):
    bpy.ops.ed.undo_push(message="before")
    region = begin(viewport)
    run(lambda: region.live.picture is not None and hiding.HIDDEN in sheets.collection)
    bpy.ops.ed.undo_push(message="hidden")
    live.stop(viewport)
    collection = find_results(bpy.context.scene)[0].collection
    assert hiding.HIDDEN not in collection
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    begin(viewport)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert not live.any_live() and not running._state.sources
