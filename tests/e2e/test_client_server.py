# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's side of the wire against the real server in its own environment: predict, query, render, cancel, restart."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from splatonym.core import protocol
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import Cancelled, InvalidInput, NotAvailable
from splatonym.core.labels import LabelMap
from splatonym.core.views import Instance, View
from splatonym.core.wire.client import ROOT, Client
from splatonym.core.wire.errors import ServerDied, WrongVersion


def interpreter():
    """The server's Python: as the add-on finds it, or this one where it has torch."""
    checkout = ROOT / ".venv-server" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    given = os.environ.get("SPLATONYM_SERVER_PYTHON")
    return Path(given) if given else checkout if checkout.exists() else Path(sys.executable)


def start(folder, **more):
    return Client(interpreter(), log_path=folder / "log.txt", arguments=["--scenes", str(folder / "scenes")], **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def shared(folder):
    with start(folder) as client:
        client.hello(protocol.PROTOCOL_VERSION)
        yield client


def wall_views(size=48, count=2):
    """Two looks at a wall, 3 units away: its left half is a chair's, its right half a table's."""
    views = []
    for k in range(count):
        pose = np.eye(4)
        pose[0, 3] = 0.2 * k
        camera = Camera(size, size, intrinsics(size, size, size / 2, size / 2), pose)
        x = np.broadcast_to((np.arange(size) + 0.5 - size / 2) / size * 3 + pose[0, 3], (size, size))
        left = x < 0
        rgb = np.where(left[..., None], np.uint8([200, 60, 40]), np.uint8([40, 60, 200])).astype(np.uint8)
        views.append(
            View(f"view {k}", camera, rgb, np.full((size, size), 3, np.float32), np.where(left, 1, 2).astype(np.int32))
        )
    return views


def asked(views, **more):
    instances = {1: Instance(1, "Stuhl", "chair"), 2: Instance(2, "Tisch", "table")}
    return protocol.pack_predict(protocol.PredictFields("Wall", views, LabelMap(("chair", "table")), instances, **more))


def predict(client, views, timeout=60, **more):
    data, arrays = client.submit("predict", *asked(views, **more)).result(timeout)
    return data, protocol.unpack_scene(data["scene"], arrays)


@pytest.fixture(scope="module")
def predicted(shared):
    return predict(shared, wall_views())


def test_hello_says_what_the_server_can_do(shared):
    hello = shared.hello(protocol.PROTOCOL_VERSION)
    assert hello["protocol"] == protocol.PROTOCOL_VERSION and hello["limits"]["header"] == 1 << 20
    assert "depth-pass" in hello["predictors"] and "scene" in hello["label_sources"]
    assert {"version", "python", "torch", "device", "backends"} <= set(hello)
    with pytest.raises(WrongVersion, match="999"):
        shared.hello(999)


def test_predict_gives_a_labelled_scene(predicted):
    data, scene = predicted
    assert data["counts"] == scene.counts() and set(scene.counts()) <= {"chair", "table", "unlabelled"}
    assert data["report"]["device"] and data["report"]["timings"] and data["warnings"] == []
    x, label = scene.gaussians.means[:, 0], scene.gaussians.label
    sure = np.abs(x) > 0.2
    assert sure.sum() > 100 and (label[sure] == (x[sure] > 0)).mean() > 0.98
    assert np.abs(scene.gaussians.means[:, 2] - 3).max() < 0.1


def test_query_and_render(shared, predicted):
    data, scene = predicted
    found, arrays = shared.submit("query", {"scene": data["id"], "class": "chair"}).result(10)
    assert found["count"] == scene.counts()["chair"] and len(arrays["scores"]) == len(scene.gaussians)
    camera = wall_views()[0].camera
    _, arrays = shared.submit("render", {"scene": data["id"], "cameras": [protocol.pack_camera(camera)] * 2}).result(30)
    first, second = protocol.unpack_pictures([camera, camera], arrays)
    np.testing.assert_array_equal(first.rgb, second.rgb)
    middle = (slice(8, -8), slice(4, 16))
    assert (first.classes[middle] == 0).mean() > 0.95
    assert abs(np.median(first.depth[middle]) - 3) < 0.1


@pytest.mark.parametrize(
    ("verb", "params", "error", "words"),
    [
        ("render", {"scene": "no-012345", "cameras": []}, NotAvailable, "no-012345"),
        ("render", {"cameras": []}, InvalidInput, "scene"),
        ("predict", {"name": "x"}, InvalidInput, "views"),
        ("save", {"scene": "no-012345", "folder": "here"}, InvalidInput, "absolute"),
    ],
)
def test_wrong_requests_are_typed_errors_on_this_side_too(shared, verb, params, error, words):
    with pytest.raises(error, match=words):
        shared.submit(verb, params).result(10)


def test_render_settings_are_checked(shared, predicted):
    camera = protocol.pack_camera(wall_views()[0].camera)
    for settings, words in [({"colour": 1}, "colour"), ({"near": "x"}, "near"), ({"background": [2, 0, 0]}, "background")]:
        with pytest.raises(InvalidInput, match=words):
            shared.submit("render", {"scene": predicted[0]["id"], "cameras": [camera], "settings": settings}).result(10)


def test_unknown_predictors_and_label_sources_are_named(shared):
    for more in ({"predictor": "magic"}, {"label_source": "magic"}):
        with pytest.raises(NotAvailable, match="magic"):
            predict(shared, wall_views(), **more)


def half_a_second():
    """0.5 s of a machine of one's own; others may be at work on this one."""
    return 0.5 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.mark.parametrize("wait", [0.0, 0.1, 0.3, 0.6, 1.0, 1.5])
def test_cancel_is_honoured_within_half_a_second(shared, wait):
    """At whatever stage the prediction is after that time."""
    call = shared.submit("predict", *asked(wall_views(256, 8)))
    time.sleep(wait)
    if call.done:
        pytest.skip("the prediction was faster")
    begun = time.monotonic()
    call.cancel()
    with pytest.raises(Cancelled):
        call.result(5)
    assert time.monotonic() - begun < half_a_second()
    assert shared.alive, "the server heard it, nobody had to kill it"


def test_a_killed_server_is_noticed_and_the_next_one_goes_on(folder, shared, predicted):
    client = start(folder)
    client.submit("scenes").result(20)
    call = client.submit("predict", *asked(wall_views(256, 4)))
    os.kill(client.pid, 9)
    with pytest.raises(ServerDied, match="signal 9"):
        call.result(2)
    client.close()
    with start(folder) as client:
        number = predicted[0]["id"]
        assert number in [entry["id"] for entry in client.submit("scenes").result(20)[0]["scenes"]]
        found, _ = client.submit("query", {"scene": number, "class": "table"}).result(10)
        assert found["count"] == predicted[1].counts()["table"]


def test_predicting_again_may_replace_a_scene(shared, predicted):
    data, scene = predict(shared, wall_views(24), scene=predicted[0]["id"])
    assert data["id"] == predicted[0]["id"]
    _, arrays = shared.submit("query", {"scene": data["id"], "class": "table"}).result(10)
    assert len(arrays["scores"]) == len(scene.gaussians)


def test_a_copy_under_any_name_runs_by_its_path(tmp_path):
    """As Blender installs it: bl_ext.somewhere.splatonym, or whatever a folder is called."""
    copy = tmp_path / "some other name"
    copy.mkdir()
    for part in ("__init__.py", "core", "server"):
        (copy / part).symlink_to(ROOT / part)
    (copy / "server").unlink()
    (copy / "server").mkdir()
    for path in (ROOT / "server").iterdir():
        if path.name == "__main__.py":
            (copy / "server" / path.name).write_bytes(path.read_bytes())
        else:
            (copy / "server" / path.name).symlink_to(path)
    (copy / "__init__.py").unlink()
    (copy / "__init__.py").write_text("import sys\n\n__version__ = '0'\nprint('this is', __name__, file=sys.stderr)\n")
    with Client(interpreter(), copy, log_path=tmp_path / "log.txt") as client:
        assert client.submit("scenes").result(20)[0] == {"scenes": []}
    assert "this is splatonym" in (tmp_path / "log.txt").read_text()


def test_at_a_terminal_it_says_what_it_is():
    import pty

    ours, theirs = pty.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as terminal:
        done = subprocess.run(
            [interpreter(), ROOT / "server" / "__main__.py"], stdin=terminal, capture_output=True, text=True, check=False
        )
    assert done.returncode == 2 and "pipe" in done.stderr
