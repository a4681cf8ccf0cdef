# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that somebody typed, given to a scene that has a codebook: the words are asked, and each Gaussian adds its words' answers up.

No picture is looked at, so changing the list costs no more than this. Names compete with each other and with those of common things that are not
in the list; a word that fits none of the names well enough stays unlabelled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch

from ...core.codebook import NOT_TAUGHT, Codebook
from ...core.errors import InvalidInput, NotAvailable
from ...core.gaussians import ByteArray, GaussianArrays, IntArray
from ...core.labels import UNLABELLED, LabelMap
from ...core.scene import SemanticScene
from ...core.views import Instance
from ..job import Job
from .clip.models import Clip
from .clip.text import COMMON, PROMPTS, name_vectors, rivals
from .questions import kinds
from .teach import teach

Floats = npt.NDArray[np.float32]

FLOOR = 0.35
"""A name that gets a smaller share is not given: unlabelled."""
SOFTNESS = 0.5
"""Similarities are divided by this many times the model's own temperature, so that confidence is about the share that is right."""
_NUMBERS_MOST = 1 << 16


@dataclass(frozen=True)
class Wording:
    """prompts: sentences around each name, "{}" standing for it. floor: the least confidence with which a name is given, 0..1.
    rivals: what else there may be, that the names compete with; a list that is meant to name everything needs none.
    """

    prompts: tuple[str, ...] = PROMPTS
    floor: float = FLOOR
    rivals: tuple[str, ...] = COMMON

    def __post_init__(self) -> None:
        wrong = next((prompt for prompt in self.prompts if prompt.count("{}") != 1), None)
        if wrong is not None or not self.prompts:
            raise InvalidInput(f"The prompt '{wrong or ''}' has no place for the name.", "Write {} where the name goes.")
        if not 0 <= self.floor <= 1:
            raise InvalidInput(f"The floor cannot be {self.floor:g}.", "It lies from 0 (name everything) to 1.")


def relabel(scene: SemanticScene, labels: LabelMap, clip: Clip, wording: Wording, job: Job) -> SemanticScene:
    """The scene with other labels. What was taught stays if its name is in the new list."""
    codebook, words, shares = words_of(scene)
    check_model(codebook, clip)
    taught = translated(scene.gaussians.taught, scene.labels, labels)
    with job.stage("name"):
        logits = word_logits(codebook, labels, clip, wording, job)
        logits = teach(codebook, replace(scene.gaussians, taught=taught), logits)
        label, confidence = decide(words, shares, logits, labels.unlabelled, wording.floor)
        if taught is not None:
            label, confidence = np.where(taught >= 0, taught, label), np.where(taught >= 0, np.float32(1), confidence)
    gaussians = replace(scene.gaussians, label=label, confidence=confidence, taught=taught)
    return replace(scene, gaussians=gaussians, labels=labels, instances=named_instances(gaussians, labels, scene.instances))


def words_of(scene: SemanticScene) -> tuple[Codebook, ByteArray, ByteArray]:
    """The scene's codebook, words and shares; one without raises NotAvailable."""
    g = scene.gaussians
    if scene.codebook is None or g.words is None or g.shares is None:
        raise NotAvailable(
            f"Nobody has said yet what is in the scene '{scene.name}'.", "Describe it first: predict with labels from text."
        )
    return scene.codebook, g.words, g.shares


def check_model(codebook: Codebook, clip: Clip) -> None:
    """Words and texts must come from the same weights."""
    if (codebook.model, codebook.key) != (clip.name, clip.key):
        raise InvalidInput(
            f"The scene speaks the language of '{codebook.model}' ({codebook.key}), not of '{clip.name}' ({clip.key}).",
            "Ask with that model, or describe the scene again with this one.",
        )


def typed_names(labels: LabelMap) -> list[str]:
    """All names but "unlabelled"; a list without any raises InvalidInput."""
    names = [name for name in labels.names if name != UNLABELLED]
    if not names:
        raise InvalidInput("The list of names is empty.", "Type what is in the scene: chair, table, lamp.")
    return names


def word_logits(codebook: Codebook, labels: LabelMap, clip: Clip, wording: Wording, job: Job) -> Floats:
    """[K, C] logarithms of the shares of each word that the labels get; that of "unlabelled" is what all rivals get together.

    Both kinds of vectors of a word are asked, and the mean of their shares counts.
    """
    names = typed_names(labels)
    wanted = name_vectors(clip, names, labels.synonyms, wording.prompts, job.check)
    vectors = torch.cat([wanted, rivals(clip, wanted, wording.rivals, wording.prompts)])
    sharpness = float(clip.network.logit_scale.detach().exp()) / SOFTNESS
    shares = torch.stack([(one @ vectors.T * sharpness).softmax(1) for one in kinds(codebook)]).mean(0)
    out = np.empty((len(codebook), len(labels)), np.float32)
    places = [labels.names.index(name) for name in names]
    out[:, places] = shares[:, : len(names)].numpy()
    out[:, labels.unlabelled] = shares[:, len(names) :].sum(1).numpy()
    return np.log(np.maximum(out, 1e-12))


def decide(words: ByteArray, shares: ByteArray, logits: Floats, unlabelled: int, floor: float) -> tuple[IntArray, Floats]:
    """Label and confidence of each Gaussian: its words vote for their labels, each with its share and how sure it is."""
    count = len(words)
    if not len(logits):
        return np.full(count, unlabelled, np.int32), np.zeros(count, np.float32)
    sure = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    told = sure.argmax(1)
    most = sure[np.arange(len(sure)), told]
    told = np.where(most >= floor, told, unlabelled).astype(np.int32)
    most = np.where(told == unlabelled, floor, most).astype(np.float32) / np.float32(255)
    columns = range(words.shape[1])
    label = [np.take(told, words[:, pair]) for pair in columns]
    vote = [np.take(most, words[:, pair]) * shares[:, pair] for pair in columns]
    total = [part.copy() for part in vote]
    for one, other in combinations(columns, 2):
        same = label[one] == label[other]
        total[one] += vote[other] * same
        total[other] += vote[one] * same
    best, winner = total[0], label[0]
    for votes, mine in zip(total[1:], label[1:], strict=True):
        better = votes > best
        best, winner = np.where(better, votes, best), np.where(better, mine, winner)
    seen = shares[:, 0] > 0
    winner = np.where(seen, winner, np.int32(unlabelled))
    return winner, np.where(winner == unlabelled, np.float32(0), best.clip(0, 1))


def translated(taught: IntArray | None, before: LabelMap, after: LabelMap) -> IntArray | None:
    """What was taught, in the numbers of another list; names that it lacks are forgotten."""
    if taught is None:
        return None
    table = np.array([after.names.index(name) if name in after.names else -1 for name in before.names] + [-1], np.int32)
    return np.take(table, taught)  # -1 takes the last


def named_instances(gaussians: GaussianArrays, labels: LabelMap, before: Mapping[int, Instance]) -> dict[int, Instance]:
    """What each instance is: the class that most of its labelled Gaussians have. A name that was never more than "class number" follows."""
    assert gaussians.instance is not None and gaussians.label is not None
    place = gaussians.instance.astype(np.int64)
    highest = int(place.max(initial=0))
    if highest < _NUMBERS_MOST:
        numbers = np.arange(highest + 1)
    else:  # hardly ever, and much slower: finding out which numbers there are
        numbers, place = np.unique(place, return_inverse=True)
    votes = np.bincount(place * len(labels) + gaussians.label, minlength=len(numbers) * len(labels)).reshape(len(numbers), -1)
    there = votes.any(1) & (numbers > 0)
    out: dict[int, Instance] = {}
    for number, vote in zip(numbers[there].tolist(), votes[there], strict=True):
        of = labels.names[int(vote.argmax())]
        was = before.get(number)
        plain = was is None or re.fullmatch(rf"({re.escape(was.class_name)}|thing) {number}", was.name)
        title = f"{'thing' if of == UNLABELLED else of} {number}" if plain or was is None else was.name
        out[number] = Instance(number, title, of)
    return out


def taught_scene(scene: SemanticScene, chosen: npt.NDArray[np.int64], name: str) -> SemanticScene:
    """The scene in which a person has said what some Gaussians are; "" takes back what was said. `relabel` lets the rest follow."""
    labels = scene.labels.with_names([name] if name else [])
    taught = scene.gaussians.taught
    taught = np.full(len(scene.gaussians), NOT_TAUGHT, np.int32) if taught is None else taught.copy()
    taught[chosen] = labels.id_of(name) if name else NOT_TAUGHT
    return replace(scene, gaussians=replace(scene.gaussians, taught=taught), labels=labels)


def of_instances(gaussians: GaussianArrays, numbers: Sequence[int]) -> npt.NDArray[np.int64]:
    """Places of the Gaussians of some instances; a number that there is not raises InvalidInput."""
    instance = np.zeros(len(gaussians), np.int32) if gaussians.instance is None else gaussians.instance
    missing = [number for number in numbers if number < 1 or not (instance == number).any()]
    if missing:
        raise InvalidInput(f"The scene has no thing {missing[0]}.", "Ask for one first: its number is in the answer.")
    return np.flatnonzero(np.isin(instance, numbers))
