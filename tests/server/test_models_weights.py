# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of weights: what is written is read, and what is damaged, foreign or harmful is refused with a sentence."""

import json
import pickle
import struct
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from networks import SMALL, write_model
from safetensors.torch import save_file
from splatonym.core import labels
from splatonym.core.errors import InvalidFile, NotAvailable
from splatonym.server import models
from splatonym.server.models import config, weights


def write(path, changes=None, drop=(), **metadata):
    """A file of the small network, with other tensors or another architecture."""
    state = {key: value.half().contiguous() for key, value in models.create(SMALL).state_dict().items() if key not in drop}
    save_file({**state, **(changes or {})}, str(path), {"config": json.dumps(asdict(SMALL)), **metadata})
    return str(path)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder of shipped models with one in it, called "tiny"."""
    write_model(tmp_path, name="tiny")
    sha256 = weights.load(str(tmp_path / "tiny.safetensors")).sha256
    (tmp_path / "index.json").write_text(json.dumps({"tiny": sha256}))
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    return tmp_path


def test_what_is_written_is_read(tmp_path):
    network = models.create(SMALL, seed=3)
    sha256 = weights.write(tmp_path / "a.safetensors", SMALL, network.state_dict())
    read_config, state = weights.read(tmp_path / "a.safetensors")
    assert read_config == SMALL and all(value.dtype == torch.float16 for value in state.values())
    trained = weights.load(str(tmp_path / "a.safetensors"))
    assert trained.sha256 == sha256 and trained.labels == labels.preset("rooms") and not trained.network.training
    for key, value in trained.network.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, network.state_dict()[key].half().float())
    assert not any(p.requires_grad for p in trained.network.parameters())
    assert list(tmp_path.iterdir()) == [tmp_path / "a.safetensors"]


def test_the_same_network_gives_the_same_file(tmp_path):
    one, two = (Path(write_model(tmp_path, seed=5, name=name)).read_bytes() for name in ("one", "two"))
    assert one == two and one != Path(write_model(tmp_path, seed=6, name="three")).read_bytes()


def test_a_model_stays_loaded_until_its_file_changes(tmp_path):
    path = write_model(tmp_path)
    first = weights.load(path)
    assert weights.load(path) is first
    write_model(tmp_path, seed=1)
    assert weights.load(path).sha256 != first.sha256


def test_shipped_models_go_by_name(shipped):
    assert weights.names() == ["tiny"] and weights.load("tiny").name == "tiny"
    with pytest.raises(NotAvailable, match="no model 'huge'") as caught:
        weights.load("huge")
    assert "tiny" in caught.value.hint


def test_without_any_shipped_model_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    assert weights.names() == []
    with pytest.raises(NotAvailable, match="no model 'rooms'") as caught:
        weights.load("rooms")
    assert ": ," not in caught.value.hint and ".safetensors" in caught.value.hint


def test_one_flipped_bit_of_a_shipped_model_is_noticed(shipped):
    path = shipped / "tiny.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match="sha256"):
        weights.load("tiny")


def test_a_shipped_file_that_is_gone_is_named(shipped):
    (shipped / "tiny.safetensors").unlink()
    with pytest.raises(InvalidFile, match="missing"):
        weights.load("tiny")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotAvailable, match="nowhere"):
        weights.load(str(tmp_path / "nowhere.safetensors"))


@pytest.mark.parametrize("keep", [0, 5, 8, 500, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = Path(write_model(tmp_path))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InvalidFile, match="cannot be read"):
        weights.load(str(path))


def test_a_header_that_claims_too_much_is_refused(tmp_path):
    path = Path(write_model(tmp_path))
    path.write_bytes(struct.pack("<Q", 1 << 60) + path.read_bytes()[8:])
    with pytest.raises(InvalidFile, match="cannot be read"):
        weights.load(str(path))


class Harm:
    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


@pytest.mark.parametrize("name", ["evil.pt", "evil.pth", "evil.pkl", "evil.safetensors"])
def test_pickles_are_refused_unopened(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises((NotAvailable, InvalidFile), match="evil") as caught:
        weights.load(str(path))
    assert caught.value.hint
    torch.save({"a": torch.ones(1)}, path)
    with pytest.raises((NotAvailable, InvalidFile), match="evil"):
        weights.load(str(path))


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    bias = models.create(SMALL).state_dict()["classify.bias"].half()
    for bad in (float("nan"), float("inf")):
        bias[3] = bad
        with pytest.raises(InvalidFile, match="finite"):
            weights.load(write(tmp_path / "bad.safetensors", {"classify.bias": bias}))


@pytest.mark.parametrize(
    "changes, drop",
    [
        ({"classify.bias": torch.zeros(7).half()}, ()),
        ({"spare.weight": torch.zeros(2).half()}, ()),
        ({}, ("classify.bias",)),
        ({"classify.bias": torch.zeros(24, dtype=torch.int32)}, ()),
    ],
)
def test_tensors_that_do_not_fit_the_architecture_are_named(tmp_path, changes, drop):
    path = write(tmp_path / "odd.safetensors", changes, drop)
    with pytest.raises(InvalidFile, match=r"classify\.bias|spare\.weight"):
        weights.load(path)


def test_weights_of_another_architecture_are_refused(tmp_path):
    other = json.dumps(asdict(replace(SMALL, channels=(16, 32, 48))))
    with pytest.raises(InvalidFile, match="does not fit"):
        weights.load(write(tmp_path / "other.safetensors", config=other))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"rooms"', "null"])
def test_a_file_that_does_not_say_what_it_is_is_refused(tmp_path, text):
    with pytest.raises(InvalidFile, match="what network"):
        weights.load(write(tmp_path / "mute.safetensors", config=text))


def test_other_peoples_safetensors_are_refused(tmp_path):
    save_file({"a": torch.ones(2)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(InvalidFile, match="what network"):
        weights.load(str(tmp_path / "other.safetensors"))


@pytest.mark.parametrize(
    "changes",
    [
        {"preset": "no such set"}, {"preset": 3}, {"preset": "../rooms"}, {"class_count": 25}, {"class_count": -1}, {"planes": "16"},
        {"planes": 10**12}, {"planes": 1}, {"channels": [16, 24]}, {"channels": 16}, {"channels": [16, 24, 10**12]}, {"heads": 5},
        {"heads": 0}, {"groups": 3}, {"pixels": 10**12}, {"pixels": -5}, {"cell": 0}, {"cell": "wide"}, {"sources": -1},
        {"attention_blocks": 10**9}, {"offsets": "no"}, {"colour": True}, {"matching_channels": 0}, {"point_features": 2.5},
    ],
)  # fmt: skip
def test_architectures_that_cannot_be_are_refused_before_they_take_memory(tmp_path, changes):
    text = json.dumps({**asdict(SMALL), **changes})
    with pytest.raises((InvalidFile, NotAvailable)):
        weights.load(write(tmp_path / "odd.safetensors", config=text))


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "MOST_BYTES", 1 << 20)
    with pytest.raises(InvalidFile, match="at most"):
        weights.load(write_model(tmp_path))


def test_architectures_are_found_by_name():
    assert "rooms" in config.names()
    rooms = config.load("rooms")
    assert rooms.class_count == len(labels.preset(rooms.preset).names) - 1  # and "unlabelled"
    with pytest.raises(NotAvailable, match="castles"):
        config.load("castles")
    with pytest.raises(InvalidFile, match="plains"):
        config.parse({"preset": "rooms", "class_count": 24, "plains": 3}, "here")
    with pytest.raises(InvalidFile, match="class_count"):
        config.parse({"preset": "rooms"}, "here")


def test_without_safetensors_that_is_said_and_the_names_are_known(shipped, monkeypatch):
    weights._load.cache_clear()
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert weights.names() == ["tiny"]
    with pytest.raises(NotAvailable, match="safetensors"):
        weights.load("tiny")
