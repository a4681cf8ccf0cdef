# SPDX-License-Identifier: GPL-3.0-or-later
"""What the model that ships knows, on rendered rooms whose furniture it never saw."""

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from splatonym.core import metrics
from splatonym.core.labels import LabelMap, from_text
from splatonym.server.captures import read_capture
from splatonym.server.job import Job
from splatonym.server.pipeline import PredictRequest, predict
from splatonym.server.rasterize import choice
from splatonym.server.rasterize.contract import RasterSettings
from splatonym.server.semantics import regions
from splatonym.server.semantics.clip import models, sources
from splatonym.server.semantics.clip.cache import FeatureCache
from splatonym.server.semantics.clip.text import name_vectors
from splatonym.server.semantics.language import describe, local
from splatonym.server.semantics.naming import Wording, relabel, word_logits
from splatonym.server.semantics.questions import Question, ask
from splatonym.server.semantics.scene_labels import SceneLabels

ROOMS = Path(__file__).resolve().parents[3] / "shared/data/rooms/rooms_val.tar"
needs_rooms = pytest.mark.skipif(not ROOMS.exists(), reason=f"the rendered rooms are not at {ROOMS}")
NAMES = (
    "wall", "floor", "ceiling", "window", "door", "chair", "sofa", "table", "bed", "cabinet", "shelf", "lamp", "plant", "appliance", "sink",
    "toilet", "bathtub", "tv", "curtain", "rug", "picture",
)  # fmt: skip


def test_it_loads_as_any_other_and_its_card_names_it():
    folder = sources.TINY_FOLDER
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    network.eval()
    clip = models.load("tiny")
    rgb = np.random.default_rng(0).integers(0, 256, (clip.size, clip.size, 3), dtype=np.uint8)
    from PIL import Image

    with torch.inference_mode():
        theirs = F.normalize(network.encode_image(preprocess(Image.fromarray(rgb))[None]), dim=-1)
    assert torch.allclose(clip.encode_pictures(clip.normalised(rgb)[None]), theirs, atol=1e-4)
    weights = folder / "open_clip_model.safetensors"
    assert weights.stat().st_size <= 15_000_000
    assert hashlib.sha256(weights.read_bytes()).hexdigest()[:12] in (folder / "README.md").read_text(encoding="utf-8")


def test_words_for_the_same_thing_lie_together_and_others_apart():
    clip = models.load("tiny")
    sofa, couch, lamp, red, blue = name_vectors(clip, ["sofa", "couch", "lamp", "red chair", "blue chair"])
    assert sofa @ couch > 0.9 and sofa @ lamp < 0.5 and red @ blue < sofa @ couch


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Two rooms under typed names, with what is true of their Gaussians."""
    if not ROOMS.exists():
        pytest.skip(f"the rendered rooms are not at {ROOMS}")
    folder = tmp_path_factory.mktemp("rooms")
    out = []
    for room in ("room_00024", "room_00120"):
        with tarfile.open(ROOMS) as archive:
            archive.extractall(folder, [m for m in archive if m.name.startswith(room)], filter="data")
        capture = read_capture(folder / room)
        views = capture.pick(["0", "2", "5", "7"]).views(Job())
        asked = PredictRequest(
            room, views, LabelMap(NAMES), capture.instances, label_source="text", label_options={"model": "tiny"}
        )
        scene = predict(asked, Job()).scene
        from splatonym.server.predictors.contract import Prediction

        true = SceneLabels().label(
            Prediction(scene.gaussians), views, capture.labels, capture.instances, choice.choose(), Job()
        )
        names = [name if name in NAMES else None for name in true.labels.names]
        truth = np.array([NAMES.index(name) if name else -1 for name in names])[true.gaussians.label]
        out.append((views, scene, truth))
    return out


@needs_rooms
def test_typed_names_are_right_for_most_of_two_rooms(named):
    counts = sum(metrics.confusion(scene.gaussians.label, truth, len(NAMES)) for _, scene, truth in named)
    assert metrics.mean_iou(counts) > 0.4 and metrics.accuracy(counts) > 0.7


@needs_rooms
def test_what_is_typed_is_found_and_what_is_not_there_is_not(named):
    clip = models.load("tiny")
    right = wrong = asked = absent = 0
    for _, scene, truth in named:
        for place, name in enumerate(NAMES):
            meant = truth == place
            found = ask(scene, Question.parse(name), clip)
            if meant.sum() > 200:
                asked += 1
                right += bool(meant[found.scores.argmax()])
            elif not meant.any():
                absent += 1
                wrong += found.chosen.mean() > 0.02
    assert asked >= 12 and right >= 0.6 * asked, f"{right} of {asked} names point at one of theirs"
    assert wrong <= 0.4 * absent, f"{wrong} of {absent} names that nothing has"


@needs_rooms
def test_relabelling_is_consistent_and_the_order_of_names_does_not_matter(named):
    clip = models.load("tiny")
    _, scene, _ = named[0]
    turned = relabel(scene, LabelMap(NAMES[::-1]), clip, Wording(), Job())
    same = np.array(turned.labels.names)[turned.gaussians.label] == np.array(scene.labels.names)[scene.gaussians.label]
    assert same.mean() > 0.999
    sofas = relabel(scene, from_text("couch"), clip, Wording(), Job())
    assert set(sofas.counts()) <= {"couch", "unlabelled"} and sofas.counts()["unlabelled"] > 0.5 * len(same)


@needs_rooms
def test_the_codebook_loses_little_against_full_features(named):
    """Naming by the four words of a Gaussian, against naming by its own mean vectors of both kinds."""
    clip, cache = models.load("tiny"), FeatureCache()
    short = whole = 0
    for views, scene, truth in named:
        sums = np.zeros((2, len(scene.gaussians), clip.dim), np.float32)
        chosen, _ = regions.choose("instances", views)
        frames = choice.choose().prepare_all(scene.gaussians, [view.camera for view in views], RasterSettings(), Job())
        for view, frame in zip(views, frames, strict=True):
            numbers = chosen.of(view, frame, Job())
            mine = describe(view, numbers, clip, cache, Job())
            for kind, vectors in enumerate((mine.vectors.specific, mine.vectors.context)):
                table = torch.cat([torch.zeros(1, clip.dim), vectors]).numpy()
                sums[kind] += frame.register(np.ascontiguousarray(table[local(numbers, mine.numbers)]))[0]
        label = by_full_features(clip, scene, sums)
        short = short + metrics.confusion(scene.gaussians.label, truth, len(NAMES))
        whole = whole + metrics.confusion(label, truth, len(NAMES))
    assert metrics.mean_iou(short) > metrics.mean_iou(whole) - 0.02


def by_full_features(clip, scene, sums):
    """Labels of Gaussians by vectors of their own, in parts of as many as a codebook may have words."""
    from splatonym.core.codebook import Codebook

    unit = (sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), 1e-9)).astype(np.float16)
    label = np.empty(len(scene.gaussians), np.int32)
    for start in range(0, len(label), 1 << 15):
        part = slice(start, start + (1 << 15))
        logits = word_logits(Codebook("tiny", clip.key, unit[0, part], unit[1, part]), scene.labels, clip, Wording(), Job())
        sure = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        label[part] = np.where(sure.max(1) >= Wording().floor, sure.argmax(1), scene.labels.unlabelled)
    return label
