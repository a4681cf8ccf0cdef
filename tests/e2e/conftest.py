# SPDX-License-Identifier: GPL-3.0-or-later
"""A registered add-on in an empty Blender, and the demo room; every test leaves neither server nor files behind."""

import os
import tempfile
from pathlib import Path

_USER = tempfile.TemporaryDirectory(prefix="splatonym-e2e-")
os.environ["BLENDER_USER_RESOURCES"] = _USER.name

import bpy  # noqa: E402  (after its user folder is set)
import pytest  # noqa: E402
import splatonym  # noqa: E402
from splatonym.tests.small_room import make_small_room  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SERVER_PYTHON = ROOT / ".venv-server" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.fixture(scope="session")
def server_python():
    if not SERVER_PYTHON.exists():
        pytest.skip(f"no server environment at {SERVER_PYTHON}: run python3 scripts/environments.py server")
    return SERVER_PYTHON


@pytest.fixture
def addon(server_python, monkeypatch):
    """The add-on, registered in an empty scene, with the server's interpreter known."""
    from splatonym.addon.preferences import INTERPRETER_VARIABLE

    monkeypatch.setenv(INTERPRETER_VARIABLE, str(server_python))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    splatonym.register()
    yield splatonym.addon
    splatonym.unregister()


@pytest.fixture
def small_room(addon):
    """A box of four coloured walls' worth of things with three cameras; the work of a second."""
    return make_small_room()


@pytest.fixture(scope="session")
def described(server_python, tmp_path_factory):
    """A .blend with the small room and its result 'Room', described by the model that ships, so that it can be named and asked."""
    from splatonym.addon.preferences import INTERPRETER_VARIABLE

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(INTERPRETER_VARIABLE, str(server_python))
        bpy.ops.wm.read_factory_settings(use_empty=True)
        splatonym.register()
        try:
            make_small_room()
            words = {"label_source": "text", "names": "floor, box", "model": "tiny"}
            bpy.ops.splatonym.predict(camera_source="ALL", resolution=48, samples=1, result_name="Room", **words)
            bpy.ops.splatonym.teach(name="crate", things="1")  # so that it has two classes
            path = tmp_path_factory.mktemp("described") / "room.blend"
            bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
        finally:
            splatonym.unregister()
    return path


@pytest.fixture(scope="module")
def desk(server_python, described):
    """The add-on registered once for a module: its tests share a server, as long as they let it live."""
    from splatonym.addon.preferences import INTERPRETER_VARIABLE

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(INTERPRETER_VARIABLE, str(server_python))
        bpy.ops.wm.read_factory_settings(use_empty=True)
        splatonym.register()
        yield splatonym.addon
        splatonym.unregister()


@pytest.fixture
def room(desk, described):
    """The described room, opened anew, with nothing told yet; the value is its scene."""
    from splatonym.addon import jobs

    bpy.ops.wm.open_mainfile(filepath=str(described), load_ui=False)
    jobs.state.told("predict")
    return bpy.context.scene


def pytest_sessionfinish(session, exitstatus):
    _USER.cleanup()
