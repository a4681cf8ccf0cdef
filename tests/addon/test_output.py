# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel Output: names previewed, changed, applied and undone; the report kept, told and written."""

import json

import bpy
import pytest
import splatonym
from splatonym.addon import jobs, output, report
from splatonym.addon.build import build_scene, find_results
from splatonym.addon.jobs import Step
from splatonym.addon.operators.output import report_path
from splatonym.addon.transfer import Rename
from splatonym.core.errors import InvalidInput

from .build_scenes import random_scene

MEASURED = {
    "predictor": "depth-pass", "label_source": "scene", "backend": "cpu", "version": "numba 1", "device": "cpu, 1 thread", "views": 2,
    "gaussians": 1234, "counts": {"chair": 1000, "a | b": 234}, "notes": ["Nothing was seen by View.001."],
    "timings": {"fuse": 1.5, "register labels": 0.25}, "peak_memory_mb": 600.0,
    "blender": {
        "version": "5.2", "engine": "SCENE", "views": ["A", "B"], "resolution": 64, "samples": 4, "timings": {"Capture": 8.0, "Import": 0.5},
    },
}  # fmt: skip


@pytest.fixture
def scene(blank):
    """A scene with one result and two objects that are called nothing."""
    splatonym.register()
    for name in ("Cube.001", "Cube.002"):
        thing = bpy.data.objects.new(name, bpy.data.meshes.new(name))
        blank.scene.collection.objects.link(thing)
    build_scene(blank.scene, random_scene(), result_id="1")
    yield blank.scene
    splatonym.unregister()


def previewed(scene):
    output.show_preview(scene, [Rename("Cube.001", "chair.001", 0.75), Rename("Cube.002", "table.001", 0.5)])
    return scene.splatonym_output.renames


def test_names_are_listed_and_only_ticked_ones_applied(scene):
    lines = previewed(scene)
    assert [(line.name, line.new, round(line.confidence, 2)) for line in lines] == [
        ("Cube.001", "chair.001", 0.75), ("Cube.002", "table.001", 0.5)]  # fmt: skip
    assert "Cube.001" in scene.objects, "a preview renames nothing"
    lines[0].new, lines[1].use = "Grandpa's Chair", False
    assert bpy.ops.splatonym.apply_names() == {"FINISHED"}
    assert "Grandpa's Chair" in scene.objects and "Cube.002" in scene.objects
    assert not scene.splatonym_output.renames and not bpy.ops.splatonym.apply_names.poll()


def test_applying_and_discarding_can_be_undone(scene):
    previewed(scene)
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.splatonym.apply_names("EXEC_DEFAULT", True)
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    assert "Cube.001" in scene.objects and len(scene.splatonym_output.renames) == 2
    bpy.ops.splatonym.discard_names("EXEC_DEFAULT", True)
    assert not bpy.context.scene.splatonym_output.renames
    bpy.ops.ed.undo()
    assert len(bpy.context.scene.splatonym_output.renames) == 2 and "Cube.001" in bpy.context.scene.objects


def test_lines_without_an_object_or_a_name_are_passed_over(scene):
    lines = previewed(scene)
    lines[0].new = "   "
    bpy.data.objects.remove(scene.objects["Cube.002"])
    assert output.shown_preview(scene) == []
    assert bpy.ops.splatonym.apply_names() == {"FINISHED"} and "Cube.001" in scene.objects


def test_a_clicked_line_selects_its_object(scene):
    previewed(scene)
    assert not bpy.context.selected_objects
    scene.splatonym_output.active_rename = 1
    assert [o.name for o in bpy.context.selected_objects] == ["Cube.002"]


def test_the_report_is_kept_told_and_replaced(scene):
    result = find_results(scene)[0]
    assert report.last_report(result.collection) is None
    report.keep_report(scene, "1", MEASURED)
    assert report.last_report(result.collection) == MEASURED
    told = dict(report.lines(MEASURED))
    assert told["Views"] == "2, 64 px, 4 samples" and told["Gaussians"] == "1,234 in 2 classes" and told["Time"] == "10.2 s"
    assert list(report.stages(MEASURED)) == ["Capture", "fuse", "register labels", "Import"]
    assert report.warnings(MEASURED) == ["Nothing was seen by View.001."]
    report.keep_report(scene, "nobody", MEASURED)  # a result that went away meanwhile is no error


@pytest.mark.parametrize("kept", ["{", "[]", "null", 7])
def test_a_damaged_report_is_none(scene, kept):
    collection = find_results(scene)[0].collection
    collection[report.REPORT] = kept
    assert report.last_report(collection) is None


def test_a_report_of_an_older_server_can_be_shown():
    assert dict(report.lines({}))["Predictor"] == "?" and report.as_markdown("Room", {}).startswith("# Room")


def test_the_report_opens_as_a_text_and_is_written(scene, tmp_path):
    with pytest.raises(RuntimeError, match="Nobody kept"):
        bpy.ops.splatonym.open_report()
    report.keep_report(scene, "1", MEASURED)
    assert bpy.ops.splatonym.open_report() == {"FINISHED"}
    assert bpy.ops.splatonym.open_report() == {"FINISHED"} and len(bpy.data.texts) == 1
    page = bpy.data.texts[0].as_string()
    assert "| chair | 1,000 |" in page and r"| a \| b | 234 |" in page and "- Nothing was seen by View.001." in page
    assert bpy.ops.splatonym.save_report(filepath=str(tmp_path / "room"), format="MARKDOWN") == {"FINISHED"}
    assert (tmp_path / "room.md").read_text().strip() == page.strip()
    bpy.ops.splatonym.save_report(filepath=str(tmp_path / "room.json"), format="JSON")
    assert json.loads((tmp_path / "room.json").read_text()) == MEASURED
    with pytest.raises(RuntimeError, match="cannot be written"):
        bpy.ops.splatonym.save_report(filepath=str(tmp_path / "none" / "room"))
    assert jobs.state.error is not None and jobs.state.place == "output"


def test_what_succeeds_takes_back_the_error_before(scene, tmp_path):
    run, state = bpy.ops.splatonym, jobs.state
    with pytest.raises(RuntimeError, match="cannot be written"):
        run.export_ply(filepath=str(tmp_path / "none" / "room.ply"))
    assert state.error is not None
    run.export_ply(filepath=str(tmp_path / "room.ply"))
    assert state.error is None and "200 Gaussians" in state.message
    with pytest.raises(RuntimeError, match="that can be used is selected"):
        run.remove_labels(selected=True)
    bpy.data.objects["Cube.001"].data.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    run.remove_labels(selected=False)
    assert state.error is None and "0 meshes" in state.message
    with pytest.raises(RuntimeError, match="no result 'Nobody'"):
        run.remove_result(result="Nobody")
    run.remove_result()
    assert state.error is None and state.message == "Removed 'Room'"


def test_the_file_has_the_formats_ending(tmp_path):
    assert report_path(tmp_path / "a.b", "JSON").name == "a.b.json"
    assert report_path(tmp_path / "a.MD", "MARKDOWN").name == "a.MD"
    with pytest.raises(InvalidInput):
        report_path(type(tmp_path)(""), "JSON")


def test_stages_are_timed_and_the_work_is_closed():
    closed = []

    def work():
        try:
            yield Step("One", 0.0)
            yield Step("Two", 0.0)
            yield Step("One", 0.5)
            return 7
        finally:
            closed.append(True)

    seconds = {}
    assert jobs.run_to_end(report.timed(work(), seconds)) == 7
    assert set(seconds) == {"One", "Two"} and all(spent >= 0 for spent in seconds.values())
    begun = report.timed(work(), {})
    next(begun)
    begun.close()
    assert closed == [True, True]


def test_an_operators_unset_values_are_the_panels_and_are_recorded(scene):
    """Given properties stay, others are set to the panel's, so that they stand in the Info log's line."""
    from types import SimpleNamespace

    from splatonym.addon.operators.base import settled

    given = {"least"}
    operator = SimpleNamespace(
        least=0.25, only_unnamed=None, properties=SimpleNamespace(is_property_set=lambda name: name in given)
    )
    scene.splatonym_output.least, scene.splatonym_output.only_unnamed = 0.9, False
    assert settled(operator, scene.splatonym_output, ["least", "only_unnamed"]) == {"least": 0.25, "only_unnamed": False}
    assert operator.only_unnamed is False
