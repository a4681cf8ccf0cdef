# SPDX-License-Identifier: GPL-3.0-or-later
"""The one server process of a Blender session: started on first use, started again when it died, ended with the add-on."""

from __future__ import annotations

from pathlib import Path

from ..core.wire.client import Client
from . import preferences

_client: Client | None = None
_interpreter: Path | None = None


def client() -> Client:
    """The running server's client; starts the server where there is none, or where the preferences name another Python."""
    global _client, _interpreter
    wanted = preferences.server_interpreter()
    if _client is not None and (not _client.alive or _interpreter != wanted):
        close()
    if _client is None:
        _client = Client(
            wanted, preferences.ROOT, log_path=preferences.log_path(), arguments=["--scenes", str(preferences.user_folder("scenes"))]
        )
        _interpreter = wanted
    return _client


def close() -> None:
    """End the server, if it runs."""
    global _client
    if _client is not None:
        _client.close()
        _client = None
