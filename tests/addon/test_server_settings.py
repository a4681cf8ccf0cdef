# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server is started with, and that another setting starts another server."""

from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from splatonym.addon import connection, preferences
from splatonym.server.rasterize.choice import AUTO, BACKENDS


class Client:
    """Notes how it was started."""

    started = []

    def __init__(self, interpreter, root, *, log_path, arguments):
        self.alive, self.closed = True, False
        self.arguments = arguments
        self.started.append(self)

    def submit(self, verb, params):
        return SimpleNamespace(done=False)

    def close(self):
        self.closed = True


@pytest.fixture
def stored(monkeypatch, tmp_path):
    settings = SimpleNamespace(server_python="", rasterizer="auto", threads=0)
    monkeypatch.setattr(preferences, "preferences", lambda context=None: settings)
    monkeypatch.setattr(preferences, "user_folder", lambda name="": tmp_path / name)
    monkeypatch.setattr(preferences, "server_interpreter", lambda: Path("python"))
    monkeypatch.setattr(connection, "Client", Client)
    monkeypatch.setattr(Client, "started", [])
    yield settings
    connection.close()


def test_the_preferences_offer_what_the_server_has():
    assert [name for name, *_ in preferences.RASTERIZERS] == [AUTO, *BACKENDS]


def test_preferences_register_with_their_defaults():
    bpy.utils.register_class(preferences.SplatonymPreferences)
    try:
        properties = preferences.SplatonymPreferences.bl_rna.properties
        assert properties["rasterizer"].default == "auto" and properties["threads"].default == 0
    finally:
        bpy.utils.unregister_class(preferences.SplatonymPreferences)


def test_what_is_automatic_is_left_to_the_server(stored, tmp_path, monkeypatch):
    own = ("--scenes", str(tmp_path / "scenes"), "--beside-blender")
    assert preferences.server_arguments() == own
    stored.rasterizer, stored.threads = "cpu", 3
    assert preferences.server_arguments() == (*own, "--rasterizer", "cpu", "--threads", "3")
    monkeypatch.setattr(preferences, "preferences", lambda context=None: None)  # registered by a script
    assert preferences.server_arguments() == own


def test_another_setting_starts_another_server(stored):
    first = connection.client()
    assert connection.client() is first and not first.closed
    stored.threads = 2
    second = connection.client()
    assert second is not first and first.closed and second.arguments[-2:] == ("--threads", "2")
    assert connection.client() is second and len(Client.started) == 2


def test_who_asks_while_a_server_ends_gets_another_that_stays(stored, monkeypatch):
    """A set-up ends the server in a thread, which takes a while."""
    first, asked = connection.client(), []

    def close(client):
        client.closed = True
        if client is first:
            asked.append(connection.client())

    monkeypatch.setattr(Client, "close", close)
    connection.close()
    assert asked[0] is not first and connection.client() is asked[0] and not asked[0].closed
