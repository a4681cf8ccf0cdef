# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed names and questions in a real Blender over a real server, with the model that ships: the demo room, one of its chairs painted red."""

import json
import os
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from splatonym.core.scene import read_scene

ROOT = Path(__file__).resolve().parents[2]
SERVER_PYTHON = ROOT / ".venv-server" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
DEMO = ROOT / "addon" / "demo" / "room.blend"
NAMES = "wall, floor, ceiling, window, chair, sofa=couch, table, lamp, plant, picture, rug"
CAMERAS = ("View.001", "View.004", "View.006", "View.009")


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A .blend with the demo room, a red chair, and a result with labels from text."""
    import splatonym
    from splatonym.addon import jobs
    from splatonym.addon.labelling import LabelOptions, label_cameras
    from splatonym.addon.preferences import INTERPRETER_VARIABLE

    if not SERVER_PYTHON.exists():
        pytest.skip(f"no server environment at {SERVER_PYTHON}: run python3 scripts/environments.py server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(INTERPRETER_VARIABLE, str(SERVER_PYTHON))
        bpy.ops.wm.read_factory_settings(use_empty=True)
        splatonym.register()
        bpy.ops.wm.open_mainfile(filepath=str(DEMO), load_ui=False)
        for name, colour in (("Dining Chair.001", (0.6, 0.01, 0.01, 1)), ("Dining Chair", (0.01, 0.06, 0.5, 1))):
            paint(bpy.data.objects[name], colour)
        options = LabelOptions(
            result_name="Room", camera_names=CAMERAS, resolution=256, samples=4, label_source="text", names=NAMES, model="tiny"
        )
        jobs.run_to_end(label_cameras(bpy.context, options))
        path = tmp_path_factory.mktemp("text") / "named.blend"
        bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
        splatonym.unregister()
    return path


def paint(item, colour):
    material = bpy.data.materials.new(f"Paint {item.name}")
    material.use_nodes = True
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = colour
    item.data = item.data.copy()
    for place in range(len(item.data.materials)):
        item.data.materials[place] = material


@pytest.fixture
def room(named, addon):
    bpy.ops.wm.open_mainfile(filepath=str(named), load_ui=False)
    from splatonym.addon.build import find_results

    (found,) = find_results(bpy.context.scene)
    return found


def scene_of(result):
    from splatonym.addon.build import find_results, read_gaussians

    return read_gaussians(next(r for r in find_results(bpy.context.scene) if r.id == result.id).collection)


def chosen_objects():
    return {item.name for item in bpy.context.view_layer.objects if item.select_get()}


def test_things_have_typed_names_after_the_file_was_saved_and_opened(room):
    scene = scene_of(room)
    assert scene.labels.names[:3] == ("wall", "floor", "ceiling") and scene.codebook.model == "tiny"
    of = {i.name: i.class_name for i in scene.instances.values()}
    assert of["Floor"] == "floor" and of["Blue Sofa"] == "sofa"
    assert of["Dining Chair"] == "chair"
    assert {c.name for c in room.classes} == set(scene.counts())


def test_a_question_selects_the_object_and_not_another(room):
    bpy.ops.splatonym.query(text="sofa")
    assert chosen_objects() == {"Blue Sofa"}
    points = room.classes[0].objects[0].data
    assert points.attributes["query_score"].data_type == "FLOAT" and points.attributes["query_chosen"].data_type == "BOOLEAN"
    from splatonym.addon.build import get_show

    assert get_show(room.collection) == "ANSWER"
    bpy.context.scene.camera = bpy.data.objects["View.009"]
    bpy.context.scene.render.resolution_percentage = 25
    bpy.ops.splatonym.render_view(picture="ANSWER")
    pixels = np.array(bpy.data.images["Room Answer"].pixels).reshape(-1, 4)
    assert pixels[:, 0].max() > 0.8 > 0.3 > np.median(pixels[:, 0]), "bright where the sofa is, dark elsewhere"


def test_colours_tell_two_chairs_apart(room):
    bpy.ops.splatonym.query(text="red chair", level="object")
    red = best_chair()
    bpy.ops.splatonym.query(text="blue chair", level="object")
    assert red == "Dining Chair.001" and best_chair() == "Dining Chair"


def best_chair():
    """The chair whose points fit the last question best."""
    from splatonym.addon.build import find_results, read_gaussians

    (result,) = find_results(bpy.context.scene)
    scene = read_gaussians(result.collection)
    scores = np.concatenate([values(o.data, "query_score") for c in result.classes for o in c.objects])
    chairs = {i.id: i.name for i in scene.instances.values() if i.name.startswith("Dining Chair")}
    return max(chairs.items(), key=lambda item: scores[scene.gaussians.instance == item[0]].mean())[1]


def values(data, name):
    out = np.empty(len(data.points), np.float32)
    data.attributes[name].data.foreach_get("value", out)
    return out


def test_an_answer_that_was_not_asked_for_is_said(room):
    with pytest.raises(RuntimeError, match="has not been asked anything"):
        bpy.ops.splatonym.render_view(picture="ANSWER")


def test_nothing_answers_to_what_is_not_there(room):
    bpy.ops.splatonym.query(text="submarine")
    assert not chosen_objects()


def test_relabelling_moves_points_into_other_classes_and_leaves_them_where_they_are(room):
    before = scene_of(room).gaussians.means
    bpy.ops.splatonym.relabel(names="seat=chair|sofa, floor")
    after = scene_of(room)
    assert {"seat", "floor"} <= set(after.counts()) <= {"seat", "floor", "unlabelled"}
    order = [np.lexsort(means.T) for means in (before, after.gaussians.means)]
    assert np.array_equal(before[order[0]], after.gaussians.means[order[1]])


def test_teaching_what_a_question_found(room):
    bpy.ops.splatonym.query(text="sofa")
    bpy.ops.splatonym.teach(name="Omas Sofa")
    scene = scene_of(room)
    sofa = next(i for i in scene.instances.values() if i.name == "Blue Sofa")
    assert sofa.class_name == "Omas Sofa"
    bpy.ops.splatonym.teach(name="", things=str(sofa.id))
    assert scene_of(room).instances[sofa.id].class_name == "sofa"


def test_undo_takes_back_what_was_taught(room):
    sofa = next(i for i in scene_of(room).instances.values() if i.name == "Blue Sofa")
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.splatonym.teach(name="altar", things=str(sofa.id))
    bpy.ops.ed.undo_push(message="taught")
    assert "altar" in scene_of(room).labels.names
    bpy.ops.ed.undo()
    back = scene_of(room)
    assert "altar" not in back.labels.names and back.instances[sofa.id].class_name == sofa.class_name
    assert back.gaussians.taught is None
    bpy.ops.splatonym.relabel(names=NAMES)  # and the server knows nothing else
    assert scene_of(room).instances[sofa.id].class_name == sofa.class_name


def test_mistakes_are_sentences(room):
    for run, match in (
        (lambda: bpy.ops.splatonym.relabel(names=" , "), "list of names is empty"),
        (lambda: bpy.ops.splatonym.relabel(names="chair, Chair"), "stands twice"),
        (lambda: bpy.ops.splatonym.query(text="not chair"), "asks for nothing"),
        (lambda: bpy.ops.splatonym.teach(name="x", things="seven"), "'seven' is not the number"),
        (lambda: bpy.ops.splatonym.fetch_model(model="ViT-B-16/laion2b_s34b_b88k"), "may not go online"),
        (lambda: bpy.ops.splatonym.query(text="chair", result="nobody"), "no result 'nobody'"),
    ):
        with pytest.raises(RuntimeError, match=match):
            run()


def test_a_result_with_the_scenes_own_labels_is_described_afterwards(small_room):
    bpy.ops.splatonym.predict(camera_source="ALL", resolution=64, samples=1, result_name="Room")
    with pytest.raises(RuntimeError, match="Nobody has said yet"):
        bpy.ops.splatonym.query(text="box")
    bpy.ops.splatonym.describe(camera_source="ALL", resolution=64, samples=1, names="floor, box", model="tiny")
    from splatonym.addon.build import find_results

    (result,) = find_results(bpy.context.scene)
    assert scene_of(result).codebook is not None and set(scene_of(result).counts()) <= {"floor", "box", "unlabelled"}
    bpy.ops.splatonym.query(text="box")


def test_the_headless_script_names_and_asks(tmp_path):
    if not SERVER_PYTHON.exists():
        pytest.skip("no server environment")
    words = [
        "--blend",
        DEMO,
        "--cameras",
        "View.001,View.009",
        "--out",
        tmp_path / "out",
        "--resolution",
        "160",
        "--samples",
        "1",
    ]
    words += ["--label-source", "text", "--labels", NAMES, "--model", "tiny", "--query", "sofa", "--query", "plant"]
    command = [sys.executable, ROOT / "scripts" / "label_scene.py", *words, "--server-python", SERVER_PYTHON]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    scene = read_scene(tmp_path / "out")
    assert scene.codebook is not None and "sofa" in scene.counts()
    answers = json.loads((tmp_path / "out" / "answers.json").read_text())["answers"]
    assert [one["text"] for one in answers] == ["sofa", "plant"]
    assert "Blue Sofa" in [thing["name"] for thing in answers[0]["things"]]
