# SPDX-License-Identifier: GPL-3.0-or-later
"""The one server process of a Blender session: started on first use, started again when it died, ended with the add-on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import NotAvailable
from ..core.protocol import PROTOCOL_VERSION
from ..core.wire.client import Call, Client
from ..core.wire.errors import NoInterpreter
from . import preferences

_SET_UP = "splatonym.setup_server"


@dataclass(frozen=True)
class _Connection:
    client: Client
    interpreter: Path
    arguments: tuple[str, ...]
    greeting: Call


_connection: _Connection | None = None


def client() -> Client:
    """The running server's client; starts the server where there is none, or where the preferences now say another.

    Raises a typed error where the server cannot start. One that starts but lacks a package says so some seconds later: see `check`.
    """
    global _connection
    interpreter, arguments = preferences.server_interpreter(), preferences.server_arguments()
    if _connection is not None:
        as_wanted = (_connection.interpreter, _connection.arguments) == (interpreter, arguments)
        if not _connection.client.alive or not as_wanted:
            close()
    if _connection is None:
        try:
            started = Client(interpreter, preferences.ROOT, log_path=preferences.log_path(), arguments=arguments)
        except NoInterpreter as error:
            error.repair = _SET_UP
            raise
        greeting = started.submit("hello", {"protocol": PROTOCOL_VERSION})
        _connection = _Connection(started, interpreter, arguments, greeting)
    return _connection.client


def check() -> None:
    """Raise what the server's greeting had to say, if it has come and was an error. Never waits."""
    if (known := _connection) is not None and known.greeting.done:
        try:
            known.greeting.result(0)
        except Exception as error:
            close()  # the next attempt starts anew, perhaps with another Python
            if isinstance(error, (NoInterpreter, NotAvailable)):  # it lacks a package
                error.repair = _SET_UP
            raise


def close() -> None:
    """End the server, if it runs. Also called in threads: whoever asks for a server meanwhile gets a new one, and keeps it."""
    global _connection
    ending, _connection = _connection, None
    if ending is not None:
        ending.client.close()
