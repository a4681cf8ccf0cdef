# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences, and the two questions that depend on them: which Python runs the server, where do files go."""

import os
from pathlib import Path

import bpy

from ..core.errors import NotAvailable

ROOT = Path(__file__).resolve().parent.parent
"""The package's folder: the extension's in Blender, the repository's in a checkout."""

PACKAGE = __package__.rpartition(".")[0]
INTERPRETER_VARIABLE = "SPLATONYM_SERVER_PYTHON"


class SplatonymPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    server_python: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Server Python",
        description="The Python interpreter of the environment that holds torch; the server runs in it, apart from Blender",
        subtype="FILE_PATH",
    )

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column()
        column.prop(self, "server_python")
        found = find_interpreter()
        if found is None:
            column.label(text="Choose the python of an environment with torch, as the README describes.", icon="ERROR")
        else:
            column.label(text=f"In use: {found}", icon="CHECKMARK")
        column.label(text=f"Log: {log_path()}", icon="TEXT")


def preferences(context: bpy.types.Context | None = None) -> SplatonymPreferences | None:
    """The stored preferences; None where the add-on was registered by a script rather than enabled."""
    addon = (context or bpy.context).preferences.addons.get(PACKAGE)
    return addon.preferences if addon else None


def find_interpreter() -> Path | None:
    """The server's interpreter: from the preferences, else the environment variable, else a checkout's `.venv-server`."""
    stored = preferences()
    if stored is not None and stored.server_python:
        return Path(bpy.path.abspath(stored.server_python))
    if os.environ.get(INTERPRETER_VARIABLE):
        return Path(os.environ[INTERPRETER_VARIABLE])
    for place in ("bin/python", "Scripts/python.exe"):
        if (ROOT / ".venv-server" / place).exists():
            return ROOT / ".venv-server" / place
    return None


def server_interpreter() -> Path:
    """As `find_interpreter`, but none raises NotAvailable with the repair."""
    found = find_interpreter()
    if found is None:
        raise NotAvailable(
            "No Python is set for the server.",
            f"Choose one with torch in the preferences of Splatonym, or set {INTERPRETER_VARIABLE}.",
        )
    return found


def user_folder(name: str = "") -> Path:
    """A folder of the user's for logs and scenes; made if needed. Never inside the extension's own folder."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, path=name, create=True))
    except ValueError:  # registered by a script, not installed as an extension
        return Path(bpy.utils.user_resource("DATAFILES", path=str(Path("splatonym") / name), create=True))


def log_path() -> Path:
    """Where the server's messages go."""
    return user_folder() / "server.log"
