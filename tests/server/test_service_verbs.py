# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs that need no torch, and the store of scenes behind them."""

import os

import numpy as np
import pytest
from splatonym.core import protocol
from splatonym.core.errors import InvalidFile, InvalidInput, NotAvailable
from splatonym.core.gaussians import GaussianArrays, sh_from_rgb
from splatonym.core.labels import LabelMap
from splatonym.core.scene import SemanticScene, read_scene
from splatonym.core.views import Instance
from splatonym.core.wire.errors import WrongVersion
from splatonym.core.wire.framing import Limits
from splatonym.core.wire.messages import Request
from splatonym.server import scenes
from splatonym.server.job import Job
from splatonym.server.scenes import SceneStore, checked_id, new_id, scene_bytes
from splatonym.server.verbs import verb_table


def a_scene(name="Living Room", n=10, labels=True):
    rng = np.random.default_rng(n)
    gaussians = GaussianArrays(
        rng.normal(size=(n, 3)).astype(np.float32),
        np.tile(np.array([1, 0, 0, 0], np.float32), (n, 1)),
        np.full((n, 3), 0.1, np.float32),
        np.full(n, 0.5, np.float32),
        sh_from_rgb(rng.random((n, 3))),
        np.arange(n, dtype=np.int32) % 2 if labels else None,
        np.ones(n, np.int32) if labels else None,
        np.full(n, 0.75, np.float32) if labels else None,
    )
    return SemanticScene(name, gaussians, LabelMap(("chair", "table")), {1: Instance(1, "Stuhl", "chair")})


class Server:
    """The verb table, called directly."""

    def __init__(self, folder):
        self.store = SceneStore(folder)
        self._verbs = verb_table(self.store, Limits())

    def __call__(self, verb, params=None, arrays=None):
        reply = self._verbs[verb](Request(1, verb, params or {}, arrays or {}), Job())
        return reply.data, reply.arrays

    def put(self, scene):
        fields, arrays = protocol.pack_scene(scene)
        return self("put", {"scene": fields}, arrays)[0]["id"]


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path / "scenes")


def test_another_protocol_is_refused_before_anything_is_loaded(server):
    with pytest.raises(WrongVersion, match="999"):
        server("hello", {"protocol": 999})
    with pytest.raises(InvalidInput, match="protocol"):
        server("hello", {"protocol": "1"})


def test_query_gives_the_confidence_of_a_class(server):
    number = server.put(a_scene())
    data, arrays = server("query", {"scene": number, "class": "table"})
    assert data["count"] == 5 and arrays["scores"].dtype == np.float32
    np.testing.assert_array_equal(arrays["scores"], [0, 0.75] * 5)
    with pytest.raises(NotAvailable, match="lamp") as caught:
        server("query", {"scene": number, "class": "lamp"})
    assert "chair" in caught.value.hint
    with pytest.raises(NotAvailable, match="no labels"):
        server("query", {"scene": server.put(a_scene(labels=False)), "class": "chair"})


@pytest.mark.parametrize("verb", ["query", "render", "save", "forget"])
def test_an_unknown_scene_is_named_with_those_there_are(server, verb, tmp_path):
    number = server.put(a_scene())
    params = {"scene": "../../etc", "class": "chair", "cameras": [], "folder": str(tmp_path / "x")}
    with pytest.raises(NotAvailable, match="etc") as caught:
        server(verb, params)
    assert number in caught.value.hint


def test_save_and_load(server, tmp_path):
    scene = a_scene()
    folder = tmp_path / "new" / "deep"
    server("save", {"scene": server.put(scene), "folder": str(folder)})
    assert sorted(p.name for p in folder.iterdir()) == ["labels.json", "scene.ply"]
    data, arrays = server("load", {"folder": str(folder)})
    back = protocol.unpack_scene(data["scene"], arrays)
    np.testing.assert_allclose(back.gaussians.means, scene.gaussians.means)
    assert back.instances == scene.instances and data["counts"] == {"chair": 5, "table": 5}
    server("save", {"scene": data["id"], "folder": str(folder), "strict": True})
    assert read_scene(folder).gaussians.label is None


@pytest.mark.parametrize("folder", ["relative/path", "", "/with\0nul"])
def test_a_folder_is_an_absolute_path(server, folder):
    with pytest.raises(InvalidInput, match="absolute"):
        server("save", {"scene": server.put(a_scene()), "folder": folder})


def test_what_cannot_be_written_leaves_everything_as_it_was(server, tmp_path, monkeypatch):
    number = server.put(a_scene())
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidFile, match="file"):
            server("save", {"scene": number, "folder": str(folder)})
    assert (tmp_path / "file").read_text() == "mine"

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "empty", full)  # what write_ply does first
    with pytest.raises(InvalidFile, match="No space left"):
        server("save", {"scene": number, "folder": str(tmp_path / "a" / "b")})
    assert not (tmp_path / "a").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_said(server, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InvalidFile, match="Permission"):
        server("save", {"scene": server.put(a_scene()), "folder": str(tmp_path / "locked" / "x")})


def test_load_of_no_scene_is_said(server, tmp_path):
    with pytest.raises(InvalidFile, match=r"scene\.ply"):
        server("load", {"folder": str(tmp_path)})
    assert server("scenes")[0] == {"scenes": []}


def test_a_restarted_server_goes_on(server, tmp_path):
    scene = a_scene()
    folder = tmp_path / "scenes"
    number = server.store.add(scene)
    again = Server(folder)
    assert again("scenes")[0]["scenes"] == [{"id": number, "name": "Living Room", "in_memory": False, "on_disk": True}]
    assert again("query", {"scene": number, "class": "chair"})[0]["count"] == 5
    again("forget", {"scene": number})
    assert list(folder.iterdir()) == [] and again("scenes")[0]["scenes"] == []
    with pytest.raises(NotAvailable):
        again("query", {"scene": number, "class": "chair"})


def test_the_folder_keeps_the_newest_scenes(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "ON_DISK", 2)
    store, numbers = SceneStore(tmp_path), ["a-000000", "b-000000", "c-000000"]
    (tmp_path / "not-ours").mkdir()
    for place, number in enumerate(numbers):
        store.add(a_scene(), number)
        os.utime(tmp_path / number / "labels.json", ns=(place, place))
    store.add(a_scene(), numbers[0])  # written again, so now the newest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-000000", "c-000000", "not-ours"]
    assert {entry.id for entry in SceneStore(tmp_path).entries()} == {"a-000000", "c-000000"}


def test_a_scene_may_replace_another(tmp_path):
    store = SceneStore(tmp_path)
    number = store.add(a_scene())
    assert store.add(a_scene("Other", 4), number) == number
    assert len(store.get(number).gaussians) == 4
    assert SceneStore(tmp_path).get(number).name == "Other"
    with pytest.raises(InvalidInput, match="id"):
        store.add(a_scene(), "../outside-012345")


def test_memory_is_bounded_and_the_disk_keeps_more(tmp_path):
    one = scene_bytes(a_scene())
    store = SceneStore(tmp_path, memory_bytes=2 * one)
    first, second, third = (store.add(a_scene(name)) for name in "abc")
    assert [e.in_memory for e in store.entries()] == [False, True, True]
    store.get(first)
    assert {e.id for e in store.entries() if e.in_memory} == {first, third}
    assert store.get(second).name == "b"
    small = SceneStore(memory_bytes=1)
    kept = small.add(a_scene())
    assert small.get(kept).name == "Living Room", "the newest stays, whatever it takes"


def test_a_disk_that_refuses_costs_a_warning_not_the_scene(tmp_path):
    from splatonym.core.scene import write_scene

    write_scene(tmp_path / "scene", a_scene())
    (tmp_path / "scenes").write_text("a file where the folder should be")
    server = Server(tmp_path / "scenes")
    data, _ = server("load", {"folder": str(tmp_path / "scene")})
    assert data["warnings"] and "scenes" in data["warnings"][0]
    assert server("query", {"scene": data["id"], "class": "chair"})[0]["count"] == 5


def test_damaged_scenes_on_disk_do_not_hide_the_others(tmp_path):
    store = SceneStore(tmp_path)
    number = store.add(a_scene())
    (tmp_path / "bad-012345").mkdir()
    (tmp_path / "bad-012345" / "labels.json").write_text("{")
    assert [e.id for e in SceneStore(tmp_path).entries()] == [number]
    with pytest.raises(InvalidFile):
        SceneStore(tmp_path).get("bad-012345")


@pytest.mark.parametrize("name", ["Living Room", "Küche №5", "日本", "", "../..", "x" * 500, "-a-", "A" * 39 + " b"])
def test_ids_are_plain_words(name):
    number = new_id(name)
    assert checked_id(number) == number and len(number) < 50 and "/" not in number


@pytest.mark.parametrize("number", ["", "abc", "a/b-012345", "..-012345", "A-012345", "a-01234g", "a-012345\n", "-012345"])
def test_other_words_are_no_ids(number):
    with pytest.raises(InvalidInput):
        checked_id(number)
