# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences, and the questions that depend on them: what runs the server, with which settings, where do files go."""

import os
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as _

from ..core.errors import NotAvailable
from . import setup  # which asks this module where files go: at call time, so that either may be imported first

ROOT = Path(__file__).resolve().parent.parent
"""The package's folder: the extension's in Blender, the repository's in a checkout."""

PACKAGE = __package__.rpartition(".")[0]
INTERPRETER_VARIABLE = "SPLATONYM_SERVER_PYTHON"

AUTOMATIC = "auto"
RASTERIZERS = [
    (AUTOMATIC, "Automatic", "The best that works; what the environment says in SPLATONYM_RASTERIZER goes first"),
    ("gsplat", "gsplat", "On an NVIDIA GPU; needs the package gsplat and, for its first start, a CUDA compiler"),
    ("cpu", "CPU", "On the processor, compiled; needs the package numba"),
    ("reference", "Reference", "Readable, exact and slow"),
]


class SplatonymPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    server_python: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Server Python",
        description="The Python interpreter of the environment that holds torch; the server runs in it, apart from Blender",
        subtype="FILE_PATH",
        update=lambda preferences, context: setup.refresh(),
    )
    rasterizer: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Rasterizer",
        description="What the server draws Gaussians with; the server starts again when this changes",
        items=RASTERIZERS,
        default=AUTOMATIC,
    )
    threads: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Threads",
        description="Threads of the rasterizer on the processor; 0 for all cores but one, which is left to Blender",
        default=0,
        min=0,
        max=1024,
        soft_max=64,
    )

    def draw(self, context: bpy.types.Context) -> None:
        column, known = self.layout.column(), setup.status()
        column.prop(self, "server_python")
        row = column.row()
        if known.there:
            row.label(text=_("In use: {path}").format(path=known.interpreter), icon="CHECKMARK")
        elif known.interpreter is None:
            row.label(text="No server is set up yet", icon="INFO")
        else:
            row.label(text=_("There is no {path}").format(path=known.interpreter), icon="ERROR")
        row.operator("splatonym.setup_server", text="Update Server" if known.outdated else "Set Up Server", icon="IMPORT")
        column.prop(self, "rasterizer")
        row = column.row()
        row.enabled = self.rasterizer in (AUTOMATIC, "cpu")
        row.prop(self, "threads")
        column.label(text=_("Log: {path}").format(path=log_path()), icon="TEXT")


def preferences(context: bpy.types.Context | None = None) -> SplatonymPreferences | None:
    """The stored preferences; None where the add-on was registered by a script rather than enabled."""
    addon = (context or bpy.context).preferences.addons.get(PACKAGE)
    return addon.preferences if addon else None


def find_interpreter() -> Path | None:
    """The server's interpreter: from the preferences, the environment variable, the set-up, or else a checkout's `.venv-server`."""
    stored = preferences()
    if stored is not None and stored.server_python:
        return Path(bpy.path.abspath(stored.server_python))
    if os.environ.get(INTERPRETER_VARIABLE):
        return Path(os.environ[INTERPRETER_VARIABLE])
    if (environment := setup.made()) is not None:
        return environment.interpreter
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
            f"Set the server up, choose a Python with torch in the preferences of Splatonym, or set {INTERPRETER_VARIABLE}.",
            repair="splatonym.setup_server",
        )
    return found


def server_arguments() -> tuple[str, ...]:
    """What the server is started with: where its scenes are kept, and what draws. What is automatic is left to the server."""
    arguments = ["--scenes", str(user_folder("scenes")), "--beside-blender"]
    stored = preferences()
    if stored is not None and stored.rasterizer != AUTOMATIC:
        arguments += ["--rasterizer", stored.rasterizer]
    if stored is not None and stored.threads:
        arguments += ["--threads", str(stored.threads)]
    return tuple(arguments)


def user_folder(name: str = "") -> Path:
    """A folder of the user's for logs and scenes; made if needed. Never inside the extension's own folder."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, path=name, create=True))
    except ValueError:  # registered by a script, not installed as an extension
        return Path(bpy.utils.user_resource("DATAFILES", path=str(Path("splatonym") / name), create=True))


def log_path() -> Path:
    """Where the server's messages go."""
    return user_folder() / "server.log"
