# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on tiny rooms: it learns, goes on where it stopped, and what it exports is read; and its parts one by one."""

import importlib.util
import json
import subprocess
import sys
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import SMALL
from splatonym.core import labels, metrics
from splatonym.server import models
from splatonym.server.job import Job
from splatonym.server.models import weights
from splatonym.server.models.geometry import Rig
from splatonym.server.models.network import Maps
from splatonym.server.models.points import Splats
from splatonym.server.rasterize import choice
from splatonym.server.training import augment, losses
from splatonym.server.training.drawing import draw
from splatonym.server.training.loop import TrainConfig, Trainer, both, class_weights, network_of, schedule
from splatonym.server.training.pictures import sheet
from splatonym.server.training.rooms import Rooms, Scene, scene_of
from splatonym.server.training.validation import validate
from splatonym.tests import synthetic
from test_models_backbone import random_state

ROOT = Path(__file__).resolve().parents[2]
SIDE = 64
CHANGES = {name: value for name, value in asdict(SMALL).items() if name not in ("preset", "class_count")}
MAP_LOSSES = ("planes", "depth", "edges", "trust", "normals", "classes")
DRAWN_LOSSES = {"group", "mse", "ssim", "drawn classes", "drawn depth", "smooth"}


def write_room(folder, number, views=5):
    """A ray-traced box room as scripts/dataset writes rooms: other colours and other places in each."""
    seen = synthetic.views(views + number, (SIDE, SIDE))[number:]
    seen = [type(v)(v.name, v.camera, np.roll(v.rgb, number, -1).copy(), v.depth, v.index) for v in seen]
    eye = seen[0].camera
    top = {"w": SIDE, "h": SIDE, "fl_x": eye.fx, "fl_y": eye.fy, "cx": eye.cx, "cy": eye.cy}
    path = folder / f"room_{number:05}"
    synthetic.write_capture(path, seen, **top)
    content = json.loads((path / "labels.json").read_text())
    content["classes"] = list(labels.preset("rooms").names[:-1])
    (path / "labels.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    for number in range(3):
        write_room(folder, number)
    return folder


@pytest.fixture(scope="module")
def scene(rooms):
    return scene_of(Rooms([rooms]).draw(0))


def trainer(rooms, folder, **values):
    values = {"changes": CHANGES, "steps": 6, "picture_every": 10**9, **values}
    return Trainer(TrainConfig(**values), Rooms([rooms]), folder, "cpu", choice.ready(Job()))


def test_fifty_steps_lower_the_loss(rooms, tmp_path):
    run = trainer(rooms, tmp_path, steps=50, render_from=0.6, render_every=2, lr=3e-3, picture_every=25, log_every=10)
    told = list(run.run())
    assert len(told) == 50 and run.step == 50
    assert all(np.isfinite(list(step.values())).all() and "skipped" not in step for step in told)
    weight = run.loss_weights
    of_maps = [sum(weight[name] * step[name] for name in MAP_LOSSES) for step in told]
    assert np.mean(of_maps[-10:]) < 0.75 * np.mean(of_maps[:10])
    drawn = [number for number, step in enumerate(told) if set(step) >= DRAWN_LOSSES]
    assert drawn == list(range(30, 50, 2))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50] and lines[-1]["loss"] > 0
    assert list((tmp_path / "curves").iterdir()) and len(list((tmp_path / "pictures").iterdir())) == 2
    again = network_of(run)  # the averaged weights
    assert all(torch.equal(value, run.average[key]) for key, value in again.state_dict().items())


@pytest.fixture
def one_thread():
    """More than one add gradients up in the order in which they get there."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_stopped_run_goes_on_as_if_it_had_not(rooms, tmp_path, one_thread):
    values = {"steps": 6, "render_from": 0.5, "save_every": 3, "seed": 7}
    whole = trainer(rooms, tmp_path / "whole", **values)
    first = [step["loss"] for step in whole.run()]
    part = trainer(rooms, tmp_path / "parts", **values)
    steps = part.run()
    second = [next(steps)["loss"] for _ in range(3)]
    steps.close()
    rest = trainer(rooms, tmp_path / "parts", **values)
    rest.resume()
    assert rest.step == 3
    second += [step["loss"] for step in rest.run()]
    assert first == second
    for name in ("average", "network"):
        one, two = (torch.load(tmp_path / part / "last.pt", weights_only=True)[name] for part in ("whole", "parts"))
        assert all(torch.equal(one[key], two[key]) for key in one), name


def test_a_run_stops_in_time(rooms, tmp_path):
    run = trainer(rooms, tmp_path)
    assert list(run.run(until=0.0)) == [] and (tmp_path / "last.pt").exists()


def test_what_is_exported_is_read(rooms, tmp_path, capsys):
    run = trainer(rooms, tmp_path / "run", steps=2)
    list(run.run())
    spec = importlib.util.spec_from_file_location("train_script", ROOT / "scripts/train.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    path = tmp_path / "new.safetensors"
    assert script.write(Namespace(out=tmp_path / "run", weights=path)) == 0
    trained = weights.load(str(path))
    assert trained.network.config == run.architecture and trained.sha256 in capsys.readouterr().out
    for key, value in trained.network.state_dict().items():
        assert torch.equal(value, run.average[key].half().float())
    again = trainer(rooms, tmp_path / "more", steps=2)
    again.start_from(weights.read(path)[1])
    assert all(torch.equal(value, trained.network.state_dict()[key]) for key, value in again.network.state_dict().items())


def test_the_command_line_trains(rooms, tmp_path):
    torch.save(random_state(0), tmp_path / "backbone.pth")
    config = json.dumps({"changes": CHANGES, "log_every": 1, "render_from": 2})
    command = [
        sys.executable,
        "-W",
        "error",
        str(ROOT / "scripts/train.py"),
        "run",
        str(tmp_path / "run"),
        "--rooms",
        str(rooms),
    ]
    options = [
        "--backbone",
        str(tmp_path / "backbone.pth"),
        "--config",
        config,
        "--device",
        "cpu",
        "--threads",
        "1",
        "--steps",
        "1",
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 rooms, from step 0 to 1" in done.stdout and "1: planes" in done.stdout
    assert (tmp_path / "run" / "last.pt").exists()


def test_accumulated_steps_see_more_rooms(rooms, tmp_path):
    run = trainer(rooms, tmp_path, accumulate=3, steps=1, render_from=2)
    seen = []
    draw_room = run.rooms.draw
    run.rooms.draw = lambda number: seen.append(number) or draw_room(number)
    list(run.run())
    assert sorted(seen) == [0, 1, 2]


def test_rooms_that_appear_later_are_taken_in(tmp_path):
    write_room(tmp_path, 0)
    found = Rooms([tmp_path])
    assert len(found) == 1
    write_room(tmp_path, 1)
    (tmp_path / "room_00002").mkdir()  # not whole yet
    found.refresh()
    assert len(found) == 2 and found.draw(3).name == "room_00001"


def test_a_room_is_read_as_it_was_written(scene):
    view, names = synthetic.views(5, (SIDE, SIDE))[2], labels.preset("rooms").names
    assert np.array_equal((scene.rgb[2].permute(1, 2, 0) * 255).round().byte().numpy(), view.rgb)
    assert np.abs(scene.depth[2].numpy() - view.depth).max() < 6e-4
    true = np.array([names.index(synthetic.INSTANCES[k].class_name) if k else 0 for k in range(9)])[view.index]
    assert np.array_equal(scene.classes[2].numpy(), true)
    points = scene.rig.unproject(scene.depth)[2].numpy()
    assert np.abs(points - view.camera.unproject(view.depth)).max() < 2e-3


def test_a_mirrored_scene_is_the_scene_in_a_mirror(scene):
    mirrored = augment.mirror(scene)
    points = scene.rig.unproject(scene.depth).flip(2) * torch.tensor([-1.0, 1, 1])
    assert torch.allclose(mirrored.rig.unproject(mirrored.depth), points, atol=1e-4)
    assert torch.allclose(torch.linalg.det(mirrored.rig.T_world_camera[:, :3, :3]), torch.ones(5))
    twice = augment.mirror(mirrored)
    assert torch.equal(twice.rgb, scene.rgb) and torch.allclose(twice.rig.T_world_camera, scene.rig.T_world_camera)


def test_a_rescaled_scene_is_the_scene_in_other_units(scene):
    other = augment.rescale(scene, 2.5)
    assert torch.allclose(other.rig.unproject(other.depth), 2.5 * scene.rig.unproject(scene.depth), atol=1e-4)


@pytest.mark.parametrize("seed", range(12))
def test_examples_are_tasks_that_can_be_solved(scene, seed):
    task = augment.example(scene, np.random.default_rng(seed), 0.5)
    assert 1 <= len(task.inputs) <= 4 and 1 <= len(task.targets) <= 2
    assert 0 < task.near < task.far and ((task.inputs.rgb >= 0) & (task.inputs.rgb <= 1)).all()
    assert task.given.shape == task.inputs.depth.shape and (task.given >= 0).all()
    inside = (task.inputs.depth > task.near) & (task.inputs.depth < task.far)
    assert inside.float().mean() > 0.97
    centres = torch.cat([task.inputs.rig.T_world_camera, task.targets.rig.T_world_camera])[:, :3, 3]
    assert torch.pdist(centres).min() > 1e-3, "no view is both input and target"
    again = augment.example(scene, np.random.default_rng(seed), 0.5)
    assert torch.equal(again.inputs.rgb, task.inputs.rgb) and torch.equal(again.given, task.given)


def test_inputs_and_targets_are_developed_alike(scene):
    """Gaussians take their colours from the inputs and are held against the targets."""
    inputs, others = augment.develop(scene, scene, np.random.default_rng(3))
    assert torch.equal(inputs.rgb, others.rgb) and not torch.allclose(inputs.rgb, scene.rgb, atol=0.02)
    assert torch.equal(inputs.depth, scene.depth) and ((inputs.rgb >= 0) & (inputs.rgb <= 1)).all()


def test_weights_of_another_shape_begin_anew(rooms, tmp_path):
    run = trainer(rooms, tmp_path)
    fresh = {key: value.clone() for key, value in run.network.state_dict().items()}
    run.start_from({**{key: value + 1 for key, value in fresh.items()}, "fine.bias": torch.zeros(3), "gone": torch.zeros(1)})
    found = run.network.state_dict()
    assert torch.equal(found["fine.bias"], fresh["fine.bias"]) and torch.equal(found["follow"], fresh["follow"] + 1)


def test_depth_is_given_exactly_or_roughly_or_not_at_all(scene):
    kinds = set()
    for seed in range(40):
        given = augment.give_depth(scene.depth, np.random.default_rng(seed))
        known = given > 0
        off = (given[known] / scene.depth[known] - 1).abs()
        assert off.median() < 0.05
        kinds.add("exact" if torch.equal(given, scene.depth) else "holes" if not known.all() else "rough")
    assert kinds == {"exact", "holes", "rough"} or kinds == {"exact", "holes"}


def true_maps(scene, near, far, planes=16):
    """Maps as a perfect network would give them."""
    log = scene.depth.log()
    steps = torch.linspace(np.log(near), np.log(far), planes)
    coarse = log[:, 2::4, 2::4]
    place = (coarse[:, None] - steps[:, None, None]) / (steps[1] - steps[0])
    normals, _ = losses.surface_normals(scene.depth, scene.rig)
    logits = 30.0 * torch.nn.functional.one_hot(scene.classes.clamp(min=0), 24).permute(0, 3, 1, 2).float()
    ones = torch.ones_like(log)
    return Maps(
        scene.depth,
        scene.depth,
        20 * ones,
        ones,
        (1 - place.abs()).clamp(min=1e-6).log(),
        coarse.exp(),
        ones,
        normals,
        logits,
        ones[:, None],
    )


def test_the_losses_of_the_truth_are_least(scene):
    near, far = 0.3, 6.0
    even = torch.ones(24)
    truth = losses.of_maps(true_maps(scene, near, far), scene, scene.depth, near, far, even)
    assert all(truth[name] < 1e-4 for name in ("depth", "edges", "trust", "normals", "classes"))
    assert truth["planes"] < 0.75  # the entropy of lying between two planes
    wrong = true_maps(Scene(scene.rgb, scene.depth * 1.2, (scene.classes + 1) % 24, scene.rig), near, far)
    false = losses.of_maps(wrong, scene, scene.depth, near, far, even)
    assert all(false[name] > truth[name] + 0.1 for name in ("planes", "depth", "classes"))
    assert losses.of_group(scene.rig.unproject(scene.depth), scene) < 0.1  # at edges points of two surfaces meet in a pixel
    assert losses.of_group(scene.rig.unproject(scene.depth * 1.1), scene) > 0.3


def test_trust_is_for_given_depth_that_beats_the_prediction(scene):
    """Predictions are 5% off everywhere; what is given is right on the left, 10% off on the right, and missing above."""
    near, far, even = 0.3, 6.0, torch.ones(24)
    given, half = scene.depth.clone(), scene.rig.width // 2
    given[:, :, half:] *= 1.1
    given[:, :4] = 0
    maps = true_maps(scene, near, far)
    rightly = torch.full_like(scene.depth, 9.0)
    rightly[:, :, half:] = -9.0
    rightly[:, :4] = -9.0  # nobody asks
    told = {}
    for name, logits in (
        ("rightly", rightly),
        ("always", torch.full_like(rightly, 9.0)),
        ("never", torch.full_like(rightly, -9.0)),
    ):
        found = replace(maps, predicted_depth=scene.depth * 1.05, trust_logits=logits)
        told[name] = float(losses.of_maps(found, scene, given, near, far, even)["trust"])
    assert told["rightly"] < 1e-3 and told["always"] > 4 and told["never"] > 4
    assert losses.of_maps(maps, scene, torch.zeros_like(given), near, far, even)["trust"] == 0


def test_pictures_that_are_the_truth_have_no_loss(scene):
    shares = torch.nn.functional.one_hot(scene.classes, 24).permute(0, 3, 1, 2).float()
    found = losses.of_pictures(scene.rgb, shares, scene.depth, torch.ones_like(scene.depth), scene, torch.ones(24))
    assert found["mse"] == 0 and abs(found["ssim"]) < 1e-5 and found["drawn depth"] == 0 and found["drawn classes"].abs() < 1e-3
    nothing = losses.of_pictures(scene.rgb, shares, scene.depth, torch.zeros_like(scene.depth), scene, torch.ones(24))
    assert nothing["drawn depth"] == 0 and nothing["drawn classes"] == 0, "what no Gaussian covers is not judged"


def test_likeness_falls_with_noise(scene):
    noise = torch.randn(scene.rgb.shape, generator=torch.Generator().manual_seed(0))
    values = [float(losses.ssim(scene.rgb, (scene.rgb + k * noise).clamp(0, 1))) for k in (0, 0.05, 0.2)]
    assert values[0] == pytest.approx(1, abs=1e-5) and values[0] > values[1] > values[2]
    ours = (scene.rgb[0] + 0.05 * noise[0]).clamp(0, 1)
    one, two = ((255 * x.permute(1, 2, 0)).round().byte().numpy() for x in (scene.rgb[0], ours))
    theirs = metrics.ssim(one, two)
    assert float(losses.ssim(scene.rgb[:1], ours[None])) == pytest.approx(theirs, abs=0.1)


@pytest.mark.parametrize("own", [False, True])
def test_splats_are_drawn_where_they_are(own):
    """One large splat before the camera fills the picture's middle with its colour, its class and its depth."""
    logits = torch.full((1, 5), -9.0)
    logits[0, 3] = 9.0
    splats = Splats(
        means=torch.tensor([[0.0, 0, 2]]), quats=torch.tensor([[1.0, 0, 0, 0]]), scales=torch.tensor([[0.5, 0.5, 0.01]]),
        opacities=torch.tensor([0.95]), colours=torch.tensor([[0.2, 0.6, 0.9]]), logits=logits,
        own_scales=torch.tensor([[0.3, 0.3, 0.01]]), own_opacities=torch.tensor([0.9]),
    )  # fmt: skip
    K = torch.tensor([[20.0, 0, 10], [0, 20, 8], [0, 0, 1]])
    drawn = draw(splats, Rig(K[None], torch.eye(4)[None], 16, 20), choice.ready(Job()), own)
    assert drawn.rgb.shape == (1, 3, 16, 20) and drawn.classes.shape == (1, 5, 16, 20)
    assert torch.allclose(drawn.rgb[0, :, 8, 10], torch.tensor([0.2, 0.6, 0.9]), atol=0.01)
    assert drawn.classes[0, :, 8, 10].argmax() == 3 and drawn.classes[0, 3, 8, 10] == pytest.approx(1, abs=0.01)
    assert drawn.depth[0, 8, 10] == pytest.approx(2, abs=0.02) and 0.85 < drawn.alpha[0, 8, 10] < 1


def test_the_rate_rises_and_falls():
    rates = [schedule(k / 100, 0.1) for k in range(101)]
    assert rates[0] == pytest.approx(0.04) and max(rates) == pytest.approx(1) and rates.index(max(rates)) == 10
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_rare_classes_weigh_more(rooms):
    weight = class_weights(Rooms([rooms]), 24)
    names = labels.preset("rooms").names
    assert weight[names.index("table")] > weight[names.index("wall")] >= 0.4 and weight.max() <= 4


def test_two_scenes_are_put_side_by_side(scene):
    picked = both(scene.pick(torch.tensor([1])), scene.pick(torch.tensor([3, 4])))
    assert len(picked) == 3 and torch.equal(picked.depth[2], scene.depth[4])
    assert torch.equal(picked.rig.T_world_camera[0], scene.rig.T_world_camera[1])


def test_a_contact_sheet_has_five_rows(scene):
    found = sheet(scene, true_maps(scene, 0.3, 6.0), labels.preset("rooms"))
    assert found.shape == (5 * SIDE, 5 * SIDE, 3) and found.dtype == np.uint8
    assert np.array_equal(found[SIDE : 2 * SIDE], found[2 * SIDE : 3 * SIDE]), "true and predicted depth look the same"


def test_validation_is_the_same_every_time_and_better_with_depth(tmp_path):
    write_room(tmp_path, 0, views=8)
    network, backend = models.create(SMALL, seed=1), choice.ready(Job())
    blind, again, given = (validate(network, Rooms([tmp_path]), backend, SIDE, depth) for depth in (False, False, True))
    assert blind == again and all(np.isfinite(list(blind.values()))) and all(np.isfinite(list(given.values())))
    assert given["abs_rel"] < 0.01 < blind["abs_rel"] and given["within_25"] > 0.99 and given["psnr"] > blind["psnr"]
    assert 0 < given["gaussians_per_pixel"] <= 1 and 0 <= given["accuracy"] <= 1
