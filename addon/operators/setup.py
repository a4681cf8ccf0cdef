# SPDX-License-Identifier: GPL-3.0-or-later
"""The first minute: set the server up, use a Python that is there, repair, remove; and a room to try it on."""

import os
import shutil
from pathlib import Path
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as _

from ... import __version__
from ...core.errors import InvalidInput, NotAvailable, SplatonymError
from .. import connection, demo, jobs, preferences, setup
from ..jobs import Step
from ..setup import builds, sentences, steps
from ..setup.environments import Environment
from ..setup.processes import ProgramFailed
from .base import AskedFirst

BUILDS = [
    (builds.AUTOMATIC, "Automatic", "What suits the graphics driver of this machine"),
    (builds.INDEX, "Ordinary", "The build of the package index: with CUDA 13 on Linux, for the processor elsewhere"),
    (builds.CPU, "CPU", "For the processor alone: the smallest"),
]
LOGS = [("SETUP", "Set-Up", "What was downloaded and installed"), ("SERVER", "Server", "What the server said")]


class SPLATONYM_OT_setup_server(AskedFirst, bpy.types.Operator):
    """Download Python, torch and what else the server needs into your user folder; you are asked first"""

    place = "setup"
    bl_idname = "splatonym.setup_server"
    bl_label = "Set Up Server"
    bl_options = {"REGISTER"}

    build: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Torch Build", description="Which build of torch is downloaded", items=BUILDS, default=builds.AUTOMATIC
    )
    again: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Download Anew",
        description="Download every package anew, also what is there from an earlier attempt",
        options={"SKIP_SAVE"},
    )

    def ask(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._plans: dict[str, steps.Plan | SplatonymError] = {}
        for name, *_words in BUILDS:
            try:
                self._plans[name] = setup.plan(name)
            except SplatonymError as error:
                self._plans[name] = error
        self._free = shutil.disk_usage(setup.base()).free
        return set(context.window_manager.invoke_props_dialog(self, width=460, confirm_text="Download and Set Up"))

    def answers(self) -> dict[str, Any]:
        return {"build": self.build, "again": self.again}

    def draw(self, context: bpy.types.Context) -> None:
        layout, plan = self.layout, self._plans[self.build]
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(self, "build", expand=True)
        column = layout.column(align=True)
        if isinstance(plan, SplatonymError):
            column.label(text=_(plan.message), icon="ERROR", translate=False)
            column.label(text=_(plan.hint), icon="BLANK1", translate=False)
            return
        build = plan.build
        column.label(text=_(build.reason).format(cuda=build.cuda), icon="INFO", translate=False)
        if build.download is None:
            column.label(text="The size of this download is not known", icon="IMPORT")
        elif build.about:
            column.label(text=_("Downloads about {size}").format(size=builds.human(build.download)), icon="IMPORT")
        else:
            column.label(text=_("Downloads {size}").format(size=builds.human(build.download)), icon="IMPORT")
        free = builds.human(self._free)
        if build.installed:
            words = _("Takes {size} of the disk; {free} are free").format(size=builds.human(build.installed), free=free)
        else:
            words = _("{free} of the disk are free").format(free=free)
        column.label(text=words, icon="DISK_DRIVE")
        column.label(text=_shortened(plan.base), icon="FILE_FOLDER")
        column.label(text="Python and packages come from public package indexes; nothing is sent", icon="LOCKED")
        if not bpy.app.online_access:
            box = layout.box()
            box.label(text="Blender is not allowed to go online", icon="ERROR")
            box.operator("splatonym.allow_online", icon="INTERNET")

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        _need_online()
        return _set_up(setup.plan(self.build, again=self.again))

    def done(self, context: bpy.types.Context, outcome: Environment) -> str:
        return _use(outcome)


class SPLATONYM_OT_use_existing_python(AskedFirst, bpy.types.Operator):
    """Run the server in a Python that is there already; it is checked first"""

    place = "setup"
    bl_idname = "splatonym.use_existing_python"
    bl_label = "Use Existing Python"
    bl_options = {"REGISTER"}

    filepath: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Python",
        description="The file python of an environment with torch, or the environment's folder",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )

    def ask(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.filepath:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def answers(self) -> dict[str, Any]:
        return {"filepath": self.filepath}

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        path = Path(bpy.path.abspath(self.filepath)) if self.filepath else None
        if path is not None and path.is_dir():
            path = next((path / place for place in ("bin/python", "Scripts/python.exe") if (path / place).exists()), path)
        if path is None or not path.is_file():
            raise InvalidInput(f"There is no Python '{path or ''}'.", "Choose the file python of an environment with torch.")
        return _check(path)

    def done(self, context: bpy.types.Context, outcome: tuple[Path, dict[str, Any]]) -> str:
        path, found = outcome
        stored = preferences.preferences(context)
        if stored is None:  # registered by a script: there are no preferences to keep it in
            os.environ[preferences.INTERPRETER_VARIABLE] = str(path)
        else:
            stored.server_python = str(path)
        setup.refresh()
        return _fit(found)


class SPLATONYM_OT_repair_server(AskedFirst, bpy.types.Operator):
    """Check the server's Python, and install again what is missing or broken"""

    place = "server"
    bl_idname = "splatonym.repair_server"
    bl_label = "Repair Server"
    bl_options = {"REGISTER"}

    def ask(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.execute(context)

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        return _repair(preferences.server_interpreter())

    def done(self, context: bpy.types.Context, outcome: tuple[Path, dict[str, Any]] | Environment) -> str:
        setup.refresh()
        return _use(outcome) if isinstance(outcome, Environment) else _fit(outcome[1])


class SPLATONYM_OT_remove_server(AskedFirst, bpy.types.Operator):
    """Delete all that setting the server up has downloaded and made"""

    place = "server"
    bl_idname = "splatonym.remove_server"
    bl_label = "Remove Server"
    bl_options = {"REGISTER"}

    def ask(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        question = {
            "title": "Remove Server",
            "message": _("Python, packages and downloads in {folder} are deleted; results stay").format(folder=_base()),
            "confirm_text": "Remove",
        }
        return set(context.window_manager.invoke_confirm(self, event, icon="WARNING", **question))

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        return _remove(preferences.preferences(context))

    def done(self, context: bpy.types.Context, outcome: int) -> str:
        setup.refresh()
        return _("{size} removed.").format(size=builds.human(outcome))


class SPLATONYM_OT_allow_online(bpy.types.Operator):
    """Turn on Allow Online Access in Blender's preferences"""

    bl_idname = "splatonym.allow_online"
    bl_label = "Allow Online Access"
    bl_options = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        if bpy.app.online_access_override:
            self.report({"ERROR"}, "Blender was started with --offline-mode; start it without.")
            return {"CANCELLED"}
        context.preferences.system.use_online_access = True
        error = jobs.state.error
        if not jobs.state.running and error is not None and error.repair == "splatonym.allow_online":
            jobs.state.told(jobs.state.place)  # that error alone is no more
        self.report({"INFO"}, "Blender may go online.")
        return {"FINISHED"}


class SPLATONYM_OT_open_log(bpy.types.Operator):
    """Open a log file in the system's editor"""

    bl_idname = "splatonym.open_log"
    bl_label = "Open Log"

    log: bpy.props.EnumProperty(name="Log", description="Which log is opened", items=LOGS)  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = setup.log_path() if self.log == "SETUP" else preferences.log_path()
        if not path.exists():
            self.report({"WARNING"}, f"There is no log yet: {path}")
            return {"CANCELLED"}
        return set(bpy.ops.wm.path_open(filepath=str(path)))


class SPLATONYM_OT_load_demo_room(bpy.types.Operator):
    """Open the furnished demo room as a new, unsaved file, with its cameras selected: the next click is Predict"""

    bl_idname = "splatonym.load_demo_room"
    bl_label = "Load Demo Room"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if jobs.state.running:
            cls.poll_message_set(_("A job is running; cancel it or wait for it"))
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return demo.load(ask=not bpy.app.background)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return demo.load(ask=False)


def _need_online() -> None:
    if not bpy.app.online_access:
        raise NotAvailable(
            "Blender is not allowed to go online.",
            "Allow it, or use a Python that is there already.",
            repair="splatonym.allow_online",
        )


def _set_up(plan: steps.Plan) -> jobs.Work:
    yield from jobs.in_thread(connection.close, Step("Prepare", 0.0))  # it may run in what is replaced
    try:
        return (yield from setup.set_up(plan))
    finally:
        setup.refresh()


def _check(interpreter: Path) -> jobs.Work:
    try:
        found = yield from setup.check(interpreter, setup.state.CHECK, setup.log_path())
    except ProgramFailed as error:
        raise sentences.not_a_python(interpreter, error, setup.log_path()) from error
    if not found["fit"]:
        raise sentences.not_fit(interpreter, found, setup.log_path())
    return interpreter, found


def _repair(interpreter: Path) -> jobs.Work:
    yield from jobs.in_thread(connection.close, Step("Prepare", 0.0))
    environment = setup.status().environment
    try:
        return (yield from _check(interpreter))
    except NotAvailable:
        if environment is None:  # not ours to change
            raise
    _need_online()
    try:
        return (yield from _set_up(setup.plan(environment.build)))  # from what was downloaded, if that is whole
    except NotAvailable:
        return (yield from _set_up(setup.plan(environment.build, again=True)))


def _base() -> Path:
    """The folder of the environment that is in use: another version of Blender may have made it."""
    made = setup.made()
    return made.folder.parent.parent if made else setup.base()


def _remove(stored: preferences.SplatonymPreferences | None) -> jobs.Work:
    base = _base()
    if stored is not None and Path(stored.server_python).is_relative_to(base):
        stored.server_python = ""
    yield from jobs.in_thread(connection.close, Step("Remove", 0.0))
    return (yield from jobs.in_thread(lambda: steps.remove(base), Step("Remove", 0.5)))


def _use(made: Environment) -> str:
    """What was just made is what runs, also where the preferences said another; the sentence that says so."""
    stored = preferences.preferences()
    if stored is not None:
        stored.server_python = ""
    setup.refresh()
    if (variable := os.environ.get(preferences.INTERPRETER_VARIABLE)) and Path(variable) != made.interpreter:
        return f"The server is set up, but {preferences.INTERPRETER_VARIABLE} names another Python: {variable}"
    return _("The server of Splatonym {version} is set up, with Python {python}.").format(
        version=__version__, python=made.python
    )


def _fit(found: dict[str, Any]) -> str:
    words = _("The server can run: Python {python}.").format(python=found["python"])
    return (
        f"{words} {_('It does without {packages}.').format(packages=', '.join(found['without']))}"
        if found["without"]
        else words
    )


def _shortened(path: Path, most: int = 62) -> str:
    """A path in so many letters: its end says more than its beginning."""
    text = str(path)
    return text if len(text) <= most else f"…{text[1 - most :]}"


CLASSES = (
    SPLATONYM_OT_setup_server,
    SPLATONYM_OT_use_existing_python,
    SPLATONYM_OT_repair_server,
    SPLATONYM_OT_remove_server,
    SPLATONYM_OT_allow_online,
    SPLATONYM_OT_open_log,
    SPLATONYM_OT_load_demo_room,
)
