# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels from text and the verbs around them, with the model that ships, on a ray-traced room of plain boxes.

What the model makes of plain boxes does not matter here; that it sees things is held in test_tiny_sees.py.
"""

from dataclasses import replace

import numpy as np
import pytest
from splatonym.core.codebook import Codebook
from splatonym.core.errors import Cancelled, InvalidInput, NotAvailable
from splatonym.core.labels import LabelMap, from_text
from splatonym.core.protocol import (
    PredictFields,
    pack_camera,
    pack_labels,
    pack_predict,
    pack_views,
    unpack_naming,
    unpack_scene,
)
from splatonym.core.wire.errors import OutOfMemory
from splatonym.core.wire.messages import Request
from splatonym.server.job import Job
from splatonym.server.scenes import SceneStore
from splatonym.server.semantic_verbs import semantic_verb_table
from splatonym.server.semantics.clip import images, models
from splatonym.tests import synthetic
from test_service_verbs import Server

NAMES = "wall, floor, ceiling, table=desk, cabinet=cupboard|wardrobe"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """What models said is kept in a folder of the tests' own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def views():
    return synthetic.views(4, (64, 64))


def asked(server, views, source="text", names=NAMES, **label_options):
    labels = from_text(names) if source == "text" else synthetic.LABELS
    options = {"model": "tiny", **label_options} if source == "text" else {}
    fields = PredictFields("box", views, labels, synthetic.INSTANCES, label_source=source, label_options=options)
    return server("predict", *pack_predict(fields))


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path / "scenes")


@pytest.fixture
def told(server, views):
    data, arrays = asked(server, views)
    return data["id"], unpack_scene(data["scene"], arrays)


def change(server, told, verb, params, arrays=None):
    number, scene = told
    data, arrays = server(verb, {"scene": number, **params}, arrays)
    return number, unpack_naming(scene, data, arrays)


def test_typed_names_become_labels_and_the_scene_can_be_asked(told, server):
    number, scene = told
    assert scene.labels == from_text(NAMES) and scene.codebook.model == "tiny"
    scene.codebook.validate()
    assert set(scene.counts()) <= set(scene.labels.names)
    assert (scene.gaussians.shares[:, 0] > 0).mean() > 0.95
    assert set(np.unique(scene.gaussians.instance)) - {0} == set(scene.instances)
    assert scene.instances[7].name == "Low table", "Blender's own name stays"
    kept = SceneStore(server.store._folder).get(number)  # as a server that starts anew
    assert np.array_equal(kept.gaussians.words, scene.gaussians.words) and kept.labels == scene.labels
    assert np.array_equal(kept.codebook.specific, scene.codebook.specific)


def test_views_without_instances_get_things_of_their_own(server, views):
    data, arrays = asked(server, [replace(view, index=None) for view in views])
    scene = unpack_scene(data["scene"], arrays)
    assert len(scene.instances) > 3 and (scene.gaussians.instance > 0).mean() > 0.9
    assert all(i.name == f"{'thing' if i.class_name == 'unlabelled' else i.class_name} {n}" for n, i in scene.instances.items())


def test_another_list_relabels_and_the_first_brings_the_first_labels_back(told, server):
    _, scene = told
    _, other = change(server, told, "relabel", pack_labels(from_text("cupboard, floor, chair")))
    assert other.labels.names == ("cupboard", "floor", "chair", "unlabelled")
    assert np.array_equal(other.gaussians.words, scene.gaussians.words) and other.codebook.key == scene.codebook.key
    _, again = change(server, told, "relabel", pack_labels(scene.labels))
    assert np.array_equal(again.gaussians.label, scene.gaussians.label)
    assert np.array_equal(again.gaussians.confidence, scene.gaussians.confidence)


def test_relabelling_looks_at_no_picture(told, server, monkeypatch):
    monkeypatch.setattr(models.Clip, "encode_pictures", lambda *_: pytest.fail("a picture was looked at"))
    change(server, told, "relabel", pack_labels(from_text("chair")))


def test_teaching_names_a_thing_stays_through_other_lists_and_is_taken_back(told, server):
    _, scene = told
    _, taught = change(server, told, "teach", {"name": "altar", "instances": [7]})
    mine = scene.gaussians.instance == 7
    assert taught.labels.names[-1] == "altar"
    assert (taught.gaussians.label[mine] == taught.labels.id_of("altar")).all() and (
        taught.gaussians.confidence[mine] == 1
    ).all()
    assert taught.instances[7].class_name == "altar"
    _, other = change(server, told, "relabel", pack_labels(from_text("altar, floor")))
    assert (other.gaussians.label[mine] == other.labels.id_of("altar")).all()
    change(server, told, "teach", {"name": "", "instances": [7]})
    _, back = change(server, told, "relabel", pack_labels(scene.labels))
    assert np.array_equal(back.gaussians.label, scene.gaussians.label)


def test_listed_gaussians_can_be_taught(told, server):
    listed = np.array([0, 3, 5], np.int32)
    _, taught = change(server, told, "teach", {"name": "floor"}, {"gaussians": listed})
    assert (taught.gaussians.taught >= 0).sum() == 3 and (taught.gaussians.label[listed] == taught.labels.id_of("floor")).all()


@pytest.mark.parametrize(
    "params, arrays, match",
    [
        ({"name": "x", "instances": [99]}, {}, "no thing 99"),
        ({"name": "x", "instances": [0]}, {}, "numbers above 0"),
        ({"name": "x"}, {}, "Nothing is chosen"),
        ({"name": "x"}, {"gaussians": np.array([1 << 30], np.int32)}, "not among the"),
        ({"name": "x"}, {"gaussians": np.zeros(3, np.float32)}, "'gaussians' is float32"),
    ],
)
def test_teaching_what_is_not_there_is_refused(told, server, params, arrays, match):
    with pytest.raises(InvalidInput, match=match):
        server("teach", {"scene": told[0], **params}, arrays)


def test_a_question_gives_scores_a_choice_and_a_heat_map(told, server, views):
    number, scene = told
    camera = views[0].camera
    params = {"scene": number, "text": "table not wall", "level": "part", "threshold": 0.2}
    data, arrays = server("query", params)
    scores, chosen = arrays["scores"], arrays["chosen"]
    assert scores.shape == chosen.shape == (len(scene.gaussians),) and 0 <= scores.min() <= scores.max() <= 1
    assert np.array_equal(chosen, scores >= 0.2) and data["count"] == chosen.sum() and sum(data["histogram"]) == len(scores)
    _, pictures = server("render", {"scene": number, "cameras": [pack_camera(camera)]}, {"scores": scores})
    heat = pictures["heat.0"]
    assert heat.shape == (camera.height, camera.width) and scores.min() - 1e-5 <= heat.max() <= scores.max() + 1e-5
    assert {thing["id"] for thing in data["things"]} <= set(scene.instances)


def test_a_scene_with_labels_of_its_own_is_described_afterwards(server, views):
    data, arrays = asked(server, views, source="scene")
    number, scene = data["id"], unpack_scene(data["scene"], arrays)
    with pytest.raises(NotAvailable, match="Nobody has said yet"):
        server("query", {"scene": number, "text": "table"})
    packed, arrays = pack_views(views)
    _, described = change(server, (number, scene), "describe", {"views": packed, "label_options": {"model": "tiny"}}, arrays)
    assert described.codebook is not None and described.labels.names == scene.labels.names
    assert np.array_equal(described.gaussians.instance, scene.gaussians.instance)
    server("query", {"scene": number, "text": "table"})


def test_a_scene_without_pictures_is_rendered_through_cameras(server, views):
    data, arrays = asked(server, [replace(view, index=None) for view in views], source="scene")
    number, scene = data["id"], unpack_scene(data["scene"], arrays)
    cameras = [pack_camera(view.camera) for view in views[:2]]
    _, described = change(
        server,
        (number, scene),
        "describe",
        {"cameras": cameras, "label_options": {"model": "tiny"}, **pack_labels(from_text(NAMES))},
    )
    assert len(described.codebook) > 3 and described.labels == from_text(NAMES) and described.gaussians.instance.max() > 3


def test_an_empty_list_is_refused_before_the_work(server, views):
    labels = LabelMap(())
    with pytest.raises(InvalidInput, match="list of names is empty"):
        server(
            "predict",
            *pack_predict(PredictFields("x", views, labels, {}, label_source="text", label_options={"model": "tiny"})),
        )


@pytest.mark.parametrize(
    "options, names, kind, match",
    [
        ({"model": "ViT-X-99/none"}, NAMES, NotAvailable, "ViT-X-99"),
        ({"model": "ViT-B-16/laion2b_s34b_b88k"}, NAMES, NotAvailable, "598 MB"),
        ({"regions": "magic"}, NAMES, InvalidInput, "no regions 'magic'"),
        ({"floor": 2.0}, NAMES, InvalidInput, "floor cannot be 2"),
        ({"floor": "high"}, NAMES, InvalidInput, "'floor' cannot be 'high'"),
        ({"prompts": ["a photo"]}, NAMES, InvalidInput, "no place for the name"),
        ({"colour": "red"}, NAMES, InvalidInput, "no label option 'colour'"),
        ({}, "chair, " + "very " * 30 + "long", InvalidInput, "tokens"),
    ],
)
def test_options_and_names_that_cannot_work_are_refused_by_name(
    server, views, monkeypatch, tmp_path, options, names, kind, match
):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(kind, match=match):
        asked(server, views, names=names, **options)


def test_other_label_sources_refuse_these_options(server, views):
    with pytest.raises(InvalidInput, match="no option 'model'"):
        server(
            "predict",
            *pack_predict(PredictFields("x", views, synthetic.LABELS, synthetic.INSTANCES, label_options={"model": "tiny"})),
        )


def test_words_of_another_model_are_not_mixed_with_these_texts(told, server):
    number, scene = told
    foreign = replace(scene, codebook=Codebook("tiny", "0" * 16, scene.codebook.specific, scene.codebook.context))
    server.store.add(foreign, number)
    for verb, params in (("query", {"text": "table"}), ("relabel", pack_labels(from_text("chair")))):
        with pytest.raises(InvalidInput, match="speaks the language of 'tiny' \\(0000"):
            server(verb, {"scene": number, **params})


def test_a_cancel_is_heard_while_regions_are_described(views, tmp_path):
    job = Job(lambda stage, fraction, text: job.cancel() if stage == "describe" and fraction > 0.2 else None)
    verbs = semantic_verb_table(SceneStore(None))
    server = Server(tmp_path)
    data, arrays = asked(server, views, source="scene")
    store = SceneStore(None)
    number = store.add(unpack_scene(data["scene"], arrays))
    verbs = semantic_verb_table(store)
    packed, pictures = pack_views([replace(view, name=f"other {view.name}", rgb=255 - view.rgb) for view in views])
    with pytest.raises(Cancelled):
        verbs["describe"](
            Request(1, "describe", {"scene": number, "views": packed, "label_options": {"model": "tiny"}}, pictures), job
        )
    assert store.get(number).codebook is None


def test_memory_that_runs_out_means_smaller_batches_and_then_a_sentence(views, monkeypatch):
    clip, view = models.load("tiny"), views[0]
    masks = [view.index == n for n in np.unique(view.index)]
    whole = images.describe_regions(clip, view.rgb, masks, Job())
    sizes, encode = [], models.Clip.encode_pictures

    def tight(self, pixels, room=4):
        sizes.append(len(pixels))
        if len(pixels) > room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return encode(self, pixels)

    monkeypatch.setattr(models.Clip, "encode_pictures", tight)
    found = images.describe_regions(clip, view.rgb, masks, Job())
    assert max(sizes) > 4 and sizes[-1] <= 4
    assert np.allclose(found.specific, whole.specific, atol=1e-5) and np.allclose(found.context, whole.context, atol=1e-5)
    monkeypatch.setattr(models.Clip, "encode_pictures", lambda self, pixels: tight(self, pixels, 1))
    with pytest.raises(OutOfMemory, match="'tiny'"):
        images.describe_regions(clip, view.rgb, masks, Job())


def test_models_are_listed_and_nothing_is_fetched_without_consent(server, monkeypatch, tmp_path):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was opened"))
    data, _ = server("models")
    found = {one["name"]: one for one in data["models"]}
    assert found["tiny"]["here"] and found["tiny"]["megabytes"] <= 15
    with pytest.raises(NotAvailable, match="598 MB"):
        server("fetch", {"model": "ViT-B-16/laion2b_s34b_b88k", "allowed": False})
