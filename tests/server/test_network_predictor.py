# SPDX-License-Identifier: GPL-3.0-or-later
"""The network as a predictor and as a label source: every kind of input, on a small untrained network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_scenes import turned
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL, looking, write_model
from splatonym.core import protocol
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import Cancelled, InvalidInput, NotAvailable
from splatonym.core.views import View
from splatonym.core.wire.framing import Limits
from splatonym.core.wire.messages import Request
from splatonym.server import predictors
from splatonym.server.cli import main
from splatonym.server.job import Job
from splatonym.server.models import weights
from splatonym.server.pipeline import PredictRequest, predict
from splatonym.server.predictors import network as network_predictor
from splatonym.server.predictors.contract import ClassMaps, Prediction
from splatonym.server.predictors.depth_pass import DepthPass
from splatonym.server.predictors.network import NetworkPredictor, internal_size, read_options
from splatonym.server.rasterize import choice
from splatonym.server.scenes import SceneStore
from splatonym.server.semantics.network_labels import NetworkLabels, class_maps, register
from splatonym.server.verbs import verb_table
from splatonym.tests import synthetic
from test_predictors import cancelled_after


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), seed=1)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A small network under the name of the usual one."""
    sha256 = weights.load(write_model(tmp_path, seed=1, name=weights.DEFAULT)).sha256
    (tmp_path / "index.json").write_text(json.dumps({weights.DEFAULT: sha256}))
    monkeypatch.setattr(weights, "FOLDER", tmp_path)


def blind(views):
    return [replace(view, depth=None) for view in views]


def moved(view, T=None, **changes):
    return replace(view, camera=replace(view.camera, **({} if T is None else {"T_world_camera": T}), **changes))


def ask(model, seen, job=None, **options):
    prediction = NetworkPredictor().predict(seen, {"model": model, **options}, job or Job())
    prediction.gaussians.validate()
    assert prediction.classes is not None and len(prediction.classes.logits) == len(prediction.classes.views)
    assert np.isfinite(prediction.classes.logits).all()
    return prediction


def test_both_names_lead_to_it():
    assert {"auto", "network", "depth-pass"} <= set(predictors.names())
    assert all(isinstance(predictors.choose(name), NetworkPredictor) for name in ("auto", "network"))


def test_with_depth_the_gaussians_lie_on_the_surfaces(model):
    """Given depth is trusted from the start, so even an untrained network places them well."""
    views = synthetic.views(3)
    g = ask(model, views).gaussians
    low, high = synthetic.ROOM
    outside = np.maximum(np.maximum(low - g.means, g.means - high), 0).max(1)
    assert (outside < 0.05).mean() > 0.95 and len(g) > 1000
    assert len(ask(model, views[:1]).gaussians) < len(g) < 3 * 48 * 48


def test_the_report_says_what_was_used(model):
    views = synthetic.views(3)
    prediction = ask(model, [views[0], *blind(views[1:])])
    figures = prediction.figures
    assert figures["model"] == model and figures["model_sha256"] == weights.load(model).sha256
    assert figures["views_with_depth"] == 1 and 0 < figures["near"] < figures["far"] and figures["points"] == 3 * 48 * 48
    json.dumps(figures)
    assert ask(model, views, use_depth=False).figures["views_with_depth"] == 0


def test_the_same_request_gives_the_same_bits(model):
    views = blind(synthetic.views(3))
    one, two = ask(model, views), ask(model, views)
    for name in ("means", "quats", "scales", "opacities", "sh"):
        assert np.array_equal(getattr(one.gaussians, name), getattr(two.gaussians, name)), name
    assert np.array_equal(one.classes.logits, two.classes.logits)


def test_the_views_are_not_written_to(model):
    views = synthetic.views(2)
    before = [(view.rgb.copy(), view.depth.copy(), view.camera.K.copy()) for view in views]
    for view in views:
        for array in (view.rgb, view.depth):
            array.flags.writeable = False
    ask(model, views)
    for view, (rgb, depth, K) in zip(views, before, strict=True):
        assert np.array_equal(view.rgb, rgb) and np.array_equal(view.depth, depth) and np.array_equal(view.camera.K, K)


@pytest.mark.parametrize("size", [(97, 61), (61, 97), (48, 48), (33, 7), (200, 20), (1, 1)])
def test_any_size_and_shape(model, size):
    views = synthetic.views(2, size)
    assert len(ask(model, blind(views)).gaussians) > 0
    assert len(ask(model, views).gaussians) > 0


def test_the_inner_size_is_about_as_many_pixels_and_never_many_more():
    assert internal_size(160, 160, 160 * 160) == (160, 160)
    assert internal_size(1080, 1920, 160 * 160) == (128, 224)
    for height, width in ((480, 640), (640, 480), (61, 97), (16, 4096), (4096, 1), (1, 16384), (1, 1), (30, 2000)):
        h, w = internal_size(height, width, 160 * 160)
        assert h % 32 == w % 32 == 0 and min(h, w) >= 32 and h * w <= 1.5 * 160 * 160
        assert (h > w) == (height > width) or h == w


def test_one_view_guesses_its_depth_and_says_so(model):
    view = synthetic.views(1)[0]
    prediction = ask(model, blind([view]))
    assert len(prediction.gaussians) > 0.5 * 48 * 48
    assert any("depth is guessed" in note for note in prediction.notes)
    assert not ask(model, [view]).notes, "given depth is no guess"


def test_views_without_overlap_are_named(model):
    views = synthetic.views(6)[:3]
    away = views[1].camera.T_world_camera @ np.diag([-1.0, 1.0, -1.0, 1.0])
    assert not ask(model, blind(views)).notes
    notes = ask(model, blind([*views, moved(replace(views[1], name="behind"), away)])).notes
    assert any("guessed" in note and "behind" in note and "frame_" not in note for note in notes)


def test_cameras_in_one_place_see_no_parallax_and_that_is_said(model):
    first = synthetic.views(1)[0]
    angle = 0.3
    turn = np.eye(4)
    turn[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    second = synthetic.trace(replace(first.camera, T_world_camera=first.camera.T_world_camera @ turn), "turned")
    prediction = ask(model, blind([first, second]))
    assert len(prediction.gaussians) > 0
    assert any("guessed" in note and "frame_0" in note and "turned" in note for note in prediction.notes)
    assert not ask(model, [first, second]).notes


def test_the_same_view_twice_is_about_the_same_as_once(model):
    view = synthetic.views(1)[0]
    one, two = ask(model, [view]), ask(model, [view, replace(view, name="again")])
    assert len(two.gaussians) < 1.05 * len(one.gaussians)


def test_all_cameras_looking_away_from_each_other(model):
    K = intrinsics(29, 29, 24, 24)
    poses = [
        looking((2 + 0.5 * np.cos(a), 2 + 0.5 * np.sin(a), 1.2), (2 + np.cos(a), 2 + np.sin(a), 1.2)) for a in (0.1, 2.2, 4.3)
    ]
    views = [synthetic.trace(Camera(48, 48, K, pose), f"out {k}") for k, pose in enumerate(poses)]
    assert len(ask(model, blind(views)).gaussians) > 2 * 48 * 48
    assert len(ask(model, views).gaussians) > 2 * 48 * 48


def test_views_of_different_sizes_are_refused_with_the_sizes(model):
    views = [synthetic.views(2)[0], synthetic.views(2, (64, 48))[1]]
    with pytest.raises(InvalidInput, match="48x48, 64x48") as caught:
        ask(model, views)
    assert "resolution" in caught.value.hint


@pytest.mark.parametrize("focal", [0.5, 1e6])
def test_a_degenerate_field_of_view_is_refused_by_name(model, focal):
    views = synthetic.views(2)
    views[1] = moved(views[1], K=intrinsics(focal, focal, 24, 24))
    with pytest.raises(InvalidInput, match="field of view of 'frame_1'"):
        ask(model, views)


@pytest.mark.parametrize("shade", [0, 130, 255])
def test_pictures_of_nothing_are_refused_unless_there_is_depth(model, shade):
    views = [replace(view, rgb=np.full_like(view.rgb, shade)) for view in synthetic.views(2)]
    with pytest.raises(InvalidInput, match=r"nothing to see.*frame_0"):
        ask(model, blind(views))
    with pytest.raises(InvalidInput, match="nothing to see"):
        ask(model, views, use_depth=False)
    prediction = ask(model, views)
    assert len(prediction.gaussians) > 1000
    if not shade:
        assert np.abs(prediction.gaussians.rgb).max() < 0.02


def test_one_black_view_among_others_is_noted(model):
    views = blind(synthetic.views(3))
    views[1] = replace(views[1], rgb=np.zeros_like(views[1].rgb))
    assert any("Nothing" in note and "frame_1" in note for note in ask(model, views).notes)


def test_orthographic_cameras_are_left_out_or_refused(model):
    views = blind(synthetic.views(3))
    flat = [moved(view, projection="orthographic", K=intrinsics(12, 12, 24, 24)) for view in views]
    prediction = ask(model, [views[0], views[1], flat[2]])
    assert any("rthographic" in note and "frame_2" in note for note in prediction.notes)
    assert prediction.figures["points"] == 2 * 48 * 48
    with pytest.raises(InvalidInput, match="orthographic") as caught:
        ask(model, flat)
    assert "depth-pass" in caught.value.hint


def test_of_many_views_those_that_see_most_are_used(model):
    views = blind(synthetic.views(11, (32, 32)))
    prediction = ask(model, views)
    note = next(note for note in prediction.notes if "left out" in note)
    assert "11 views" in note and "8" in note and sum(f"frame_{k}" in note for k in range(11)) >= 3
    assert prediction.figures["points"] == 8 * 32 * 32
    assert ask(model, views, views=3).figures["points"] == 3 * 32 * 32
    spread_out = next(note for note in ask(model, views, views=2).notes if "left out" in note)
    assert "and 3 more" in spread_out


def test_near_and_far_are_kept_to(model):
    views = blind(synthetic.views(2))
    prediction = ask(model, views, near=1, far=2.5)
    assert (prediction.figures["near"], prediction.figures["far"]) == (1, 2.5)
    depth = np.stack(
        [prediction.gaussians.means @ v.camera.T_camera_world[2, :3] + v.camera.T_camera_world[2, 3] for v in views]
    )
    assert ((depth > 0.8) & (depth < 3.0)).any(0).all(), "in the view that it came from, each lies between them"


def test_holes_in_given_depth_are_left_or_filled(model):
    views = synthetic.views(2)
    for view in views:
        view.depth[10:30, 10:30] = 0
    left, filled = ask(model, views), ask(model, views, holes="fill")
    assert left.figures["points"] == 2 * (48 * 48 - 400) and filled.figures["points"] == 2 * 48 * 48
    assert len(filled.gaussians) > len(left.gaussians)
    assert ask(model, views, use_depth=False).figures["points"] == 2 * 48 * 48


def test_depth_maps_of_nothing_at_all_are_refused(model):
    """Depth that is given as nowhere says that nothing is there."""
    views = [replace(view, depth=np.zeros_like(view.depth)) for view in synthetic.views(2)]
    with pytest.raises(InvalidInput, match=r"nothing to see in frame_0, frame_1") as caught:
        ask(model, views)
    assert "use_depth" in caught.value.hint or "fill" in caught.value.hint
    assert len(ask(model, views, holes="fill").gaussians) > 0
    assert len(ask(model, views, use_depth=False).gaussians) > 0


def test_one_empty_depth_map_among_others(model):
    views = synthetic.views(3)
    views[1] = replace(views[1], depth=np.zeros_like(views[1].depth))
    prediction = ask(model, views)
    assert prediction.figures["points"] == 2 * 48 * 48
    assert prediction.notes == ["By their depth nothing is seen by frame_1."]


def test_a_single_pixel_of_depth_is_enough(model):
    view = synthetic.views(1, (97, 97))[0]
    depth = np.zeros_like(view.depth)
    depth[41, 53] = 2.0
    prediction = ask(model, [replace(view, depth=depth)])
    assert len(prediction.gaussians) == 1 and prediction.gaussians.means.shape == (1, 3)


@pytest.mark.parametrize(
    "options",
    [
        {"modell": "rooms"}, {"model": 3}, {"views": 0}, {"views": 9}, {"views": 2.5}, {"views": True}, {"near": -1}, {"near": 1},
        {"near": 3, "far": 2}, {"near": float("nan"), "far": 2.0}, {"near": 1, "far": float("inf")}, {"near": "1"}, {"use_depth": 1},
        {"use_depth": "false"}, {"holes": "keep"}, {"holes": True}, {"rounds": -1}, {"rounds": 21}, {"rounds": 1.5},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(options):
    with pytest.raises(InvalidInput) as caught:
        read_options(options)
    assert caught.value.hint
    name = next(iter(options))
    assert name in caught.value.message or name in ("near", "far")


def test_an_unknown_model_is_refused_before_any_work():
    job = Job()
    with pytest.raises(NotAvailable, match="no model 'palace'"):
        NetworkPredictor().predict(synthetic.views(2), {"model": "palace"}, job)
    assert not job.timings


def test_stages_have_names_and_progress_grows(model):
    told = []
    ask(model, blind(synthetic.views(2)), Job(lambda stage, fraction, text: told.append((stage, fraction))))
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages == [
        "load network",
        "encode",
        "sweep depth",
        "name",
        "lift to points",
        "gather points",
        "refine opacity",
        "refine colour",
    ]
    for name in stages:
        fractions = [fraction for stage, fraction in told if stage == name]
        assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1


def test_cancel_at_every_progress(model):
    views, told = blind(synthetic.views(2)), []
    ask(model, views, Job(lambda *what: told.append(what)))
    for stop in range(len(told) - 1):  # after the last one there is nothing left to stop
        with pytest.raises(Cancelled):
            ask(model, views, cancelled_after(stop))


class Counting(Job):
    """Counts how often each stage asks whether it was cancelled, and is cancelled at one of those times."""

    def __init__(self, stop=10**9):
        super().__init__()
        self.asked, self.left = {}, stop

    def check(self):
        self.asked[self._stage] = self.asked.get(self._stage, 0) + 1
        self.left -= 1
        if self.left < 0:
            self.cancel()
        super().check()


def test_a_cancel_is_asked_for_inside_the_network_too(model):
    views, job = blind(synthetic.views(2)), Counting()
    ask(model, views, job)
    assert all(job.asked[stage] > 50 for stage in ("encode", "sweep depth", "lift to points", "gather points"))
    whole = sum(job.asked.values())
    for stop in np.linspace(0, whole - 2, 12).astype(int):
        with pytest.raises(Cancelled):
            ask(model, views, Counting(stop))
    assert len(ask(model, views).gaussians) > 0, "a cancelled run leaves nothing behind"


def test_far_from_the_origin_and_in_other_units(model):
    views = synthetic.views(3)
    plain = ask(model, views)
    for factor, shift in ((1.0, 200.0), (1000.0, 0.0), (0.01, 0.0)):
        others = []
        for view in views:
            pose = view.camera.T_world_camera.copy()
            pose[:3, 3] = pose[:3, 3] * factor + shift
            others.append(replace(moved(view, pose), depth=view.depth * np.float32(factor)))
        other = ask(model, others)
        middle = (other.gaussians.means.astype(np.float64).mean(0) - shift) / factor
        assert np.abs(middle - plain.gaussians.means.mean(0)).max() < 0.05
        assert abs(len(other.gaussians) / len(plain.gaussians) - 1) < 0.4


def any_view(rng, number, width, height):
    """Something that is valid as a view and hardly ever sensible."""
    pose = turned(int(rng.integers(1 << 30)), far=10 ** rng.uniform(-3, 3))
    focal = width * 10 ** rng.uniform(-0.6, 1)
    camera = Camera(
        width, height, intrinsics(focal, focal * rng.uniform(0.7, 1.4), *rng.uniform(-0.2, 1.2, 2) * (width, height)), pose
    )
    shape = (height, width)
    rgb = rng.integers(0, 256, (*shape, 3)) if rng.random() < 0.7 else np.full((*shape, 3), rng.integers(0, 256))
    depths = [
        None,
        rng.lognormal(0, 3, shape),
        np.full(shape, 10 ** rng.uniform(-6, 9)),
        np.where(rng.random(shape) < 0.5, 1e10, 2.0),  # a sky as some renderers write it
        np.where(rng.random(shape) < 0.9, 0, 1.0),
        np.zeros(shape),
    ]
    depth = depths[rng.integers(len(depths))]
    view = View(f"view {number}", camera, rgb.astype(np.uint8), None if depth is None else depth.astype(np.float32))
    view.validate()
    return view


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 4), st.sampled_from([(24, 24), (40, 17), (5, 33)]), st.booleans(), st.booleans())
def test_whatever_is_asked_the_answer_is_valid_or_a_sentence(model, seed, count, size, use_depth, fill):
    rng = np.random.default_rng(seed)
    views = [any_view(rng, number, *size) for number in range(count)]
    try:
        ask(model, views, use_depth=use_depth, holes="fill" if fill else "leave", rounds=1)
    except InvalidInput as error:
        assert error.message.endswith(".") and error.hint.endswith(".")


def test_names_of_a_scene_and_of_its_mirror_image_are_mirror_images(model):
    network, seen = weights.load(model).network, network_predictor.Seen.of(blind(synthetic.views(3)), 160 * 160, True)
    said = []
    with torch.inference_mode():
        for one in (seen, seen.mirrored()):
            bounds = network_predictor.bounds_of(one, network_predictor.Options())
            maps = network.decode(network.encode(one.rgb, one.rig), one.rgb, one.rig, one.depth, *bounds)
            said.append(network_predictor.class_logits(network, maps, one, bounds, network_predictor.Options()))
            assert (
                network_predictor.class_logits(network, maps, one, bounds, network_predictor.Options(mirror=False))
                is maps.logits
            )
    assert torch.allclose(said[0], said[1].flip(-1), atol=1e-3)


def test_the_mirror_changes_names_alone(model):
    views = blind(synthetic.views(2))
    one, two = ask(model, views), ask(model, views, mirror=False)
    assert np.array_equal(one.gaussians.means, two.gaussians.means)
    assert not np.array_equal(one.classes.logits, two.classes.logits)


def test_filled_holes_are_looked_for_behind_what_was_measured(model):
    views = synthetic.views(3)
    seen = network_predictor.Seen.of(views, 160 * 160, True)
    leave = network_predictor.bounds_of(seen, network_predictor.Options())
    fill = network_predictor.bounds_of(seen, network_predictor.Options(holes="fill"))
    assert fill[0] < leave[0] and fill[1] > leave[1]
    assert network_predictor.bounds_of(seen, network_predictor.Options(near=1.0, far=2.0)) == (1.0, 2.0)


# The label source


def labelled(prediction, views):
    return NetworkLabels().label(prediction, views, synthetic.LABELS, synthetic.INSTANCES, choice.choose(), Job())


def test_the_network_names_its_own_gaussians(model):
    views = blind(synthetic.views(2))
    prediction = ask(model, views)
    found = labelled(prediction, views)
    found.gaussians.validate()
    assert found.labels == weights.load(model).labels
    shares = register(prediction.gaussians, prediction.classes, choice.choose(), Job())
    assert np.array_equal(found.gaussians.label[shares.any(1)], shares.argmax(1)[shares.any(1)]) and shares.any(1).mean() > 0.9
    assert np.allclose(found.gaussians.confidence, shares.max(1)) and not found.gaussians.instance.any()


def test_views_vote_on_what_they_see_together(model):
    """Two views say "2" everywhere and the third says "5"."""
    views, names = synthetic.views(3), weights.load(model).labels
    gaussians = DepthPass().predict(views, {}, Job()).gaussians
    logits = np.zeros((3, 24, 12, 12), np.float32)
    logits[:2, 2], logits[2, 5] = 30, 30

    def ask(some):
        return register(gaussians, ClassMaps([views[k] for k in some], logits[some], names), choice.choose(), Job())

    shares, without, alone = ask([0, 1, 2]), ask([0, 1]), ask([2])
    assert np.allclose(shares[:, [2, 5]].sum(1), shares.any(1), atol=1e-3)
    assert (shares[~alone.any(1), 5] < 1e-3).mean() > 0.99  # but for Gaussians that hardly show anywhere
    assert (shares[~without.any(1) & alone.any(1), 5] > 0.999).mean() > 0.99
    both = without.any(1) & alone.any(1)
    assert both.sum() > 100 and (shares[both, 2] > 0.5).mean() > 0.5


@pytest.mark.parametrize("with_depth", [True, False])
def test_it_names_the_gaussians_of_other_predictors(shipped, with_depth):
    views = synthetic.views(3)
    prediction = DepthPass().predict(views, {}, Job())
    seen = views if with_depth else blind(views)
    shares = register(prediction.gaussians, class_maps(seen, Job())[0], choice.choose(), Job())
    sums = shares.sum(1)
    assert shares.shape == (len(prediction.gaussians), 24) and (shares >= 0).all()
    assert (np.isclose(sums, 1, atol=1e-4) | (sums == 0)).all() and (sums > 0).mean() > 0.9
    found = labelled(prediction, seen)
    found.gaussians.validate()
    assert ((found.gaussians.label == found.labels.unlabelled) == (sums == 0)).all()
    assert (found.gaussians.confidence[sums == 0] == 0).all()


def test_what_no_view_shows_stays_unlabelled(shipped):
    views = synthetic.views(3)
    g = DepthPass().predict(views[:1], {}, Job()).gaussians
    far = replace(g, means=g.means + np.float32(100))
    found = labelled(Prediction(far), views)
    assert set(found.gaussians.label.tolist()) == {found.labels.unlabelled} and not found.gaussians.confidence.any()
    none = labelled(Prediction(g.select(np.zeros(len(g), bool))), views)
    assert len(none.gaussians) == 0


def test_more_views_than_fit_at_once_all_name_gaussians(shipped):
    views = synthetic.views(10, (32, 32))
    prediction = DepthPass().predict(views, {}, Job())
    maps, _ = class_maps(views, Job())
    assert {view.name for view in maps.views} == {view.name for view in views} and len(maps.logits) == 10
    assert (register(prediction.gaussians, maps, choice.choose(), Job()).sum(1) > 0).mean() > 0.9


def test_the_pipeline_takes_either_label_source(shipped):
    views = synthetic.views(3)
    for predictor in ("auto", "network", "depth-pass"):
        for source in ("network", "scene"):
            request = PredictRequest("room", views, synthetic.LABELS, synthetic.INSTANCES, predictor, source)
            result = predict(request, Job())
            assert sum(result.report["counts"].values()) == len(result.scene.gaussians) > 1000
            names = set(result.scene.labels.names)
            assert names >= ({"bathtub", "rug"} if source == "network" else set(synthetic.CLASSES))
            json.dumps(result.report)


def test_the_servers_verb_takes_predictor_label_source_and_options(model, tmp_path):
    verbs = verb_table(SceneStore(tmp_path), Limits())
    asked = protocol.PredictFields(
        "room",
        synthetic.views(2),
        synthetic.LABELS,
        synthetic.INSTANCES,
        "network",
        "network",
        {"model": model, "use_depth": False},
    )
    params, arrays = protocol.pack_predict(asked)
    reply = verbs["predict"](Request(1, "predict", json.loads(json.dumps(params)), arrays), Job())
    scene = protocol.unpack_scene(reply.data["scene"], reply.arrays)
    assert scene.labels.names == weights.load(model).labels.names and len(scene.gaussians) > 1000
    assert reply.data["report"]["views_with_depth"] == 0
    params["options"] = {"use_dept": False}
    with pytest.raises(InvalidInput, match="use_dept"):
        verbs["predict"](Request(2, "predict", params, arrays), Job())


# The command line


def test_predict_with_options(model, tmp_path, capsys):
    capture = str(synthetic.write_capture(tmp_path / "room", synthetic.views(3)))
    out = tmp_path / "result"
    words = ["predict", capture, "-o", str(out), "--predictor", "network", "--label-source", "network", "-q"]
    options = {"model": model, "use_depth": "false", "holes": "fill", "rounds": "1", "near": "0.5", "far": "6"}
    assert main([*words, *(w for name, value in options.items() for w in ("--option", f"{name}={value}"))]) == 0
    report = json.loads((out / "report.json").read_text())
    expected = {"model": model, "use_depth": False, "holes": "fill", "rounds": 1, "near": 0.5, "far": 6}
    assert report["settings"] == {"predictor": "network", "label_source": "network", "options": expected, "strict": False}
    assert report["views_with_depth"] == 0 and report["near"] == 0.5 and report["model_sha256"]
    assert json.loads((out / "labels.json").read_text())["classes"][:3] == ["background", "wall", "floor"]
    assert "Gaussians" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["use_depth=no", "holes=keep", "views=12", "colour=red", "model=palace"])
def test_predict_refuses_bad_options_with_a_sentence(model, option, tmp_path, capsys):
    capture = str(synthetic.write_capture(tmp_path / "room", synthetic.views(2)))
    words = ["predict", capture, "-o", str(tmp_path / "r"), "--predictor", "network", "--option", f"model={model}", "-q"]
    assert main([*words, "--option", option]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith("splatonym: error: ") and err[0].endswith(".") and err[1].startswith("  ")
    assert not (tmp_path / "r").exists()


def test_a_grey_picture_is_no_reason_to_run_out_of_memory():
    """The attention and the cost volume grow with the square of the inner size, which no shape of picture may blow up."""
    sizes = [internal_size(h, w, SMALL.pixels) for h in (1, 50, 4096) for w in (1, 50, 4096)]
    assert max(h * w for h, w in sizes) <= 2 * SMALL.pixels
    assert torch.tensor(sizes).min() >= 32
