# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operators share."""

from collections.abc import Iterable
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as _

from ...core.errors import InvalidInput, SplatonymError
from .. import jobs, properties
from ..build import Result, find_results
from ..classes.active import active_result, has_results


def copied(name: str, group: type = properties.SplatonymSettings) -> Any:
    """The definition of a panel setting, to be an operator's property too.

    It is not remembered from call to call: where it is not given, the panel's value of that moment counts. Nothing follows a change of it.
    """
    setting = group.__annotations__[name]
    keywords = {word: value for word, value in setting.keywords.items() if word != "update"}
    return setting.function(**{**keywords, "options": {"SKIP_SAVE"}})


def settled(operator: bpy.types.Operator, settings: bpy.types.PropertyGroup, names: Iterable[str]) -> dict[str, Any]:
    """The values of an operator's properties: those that were given, else the panel's.

    The panel's are set on the operator, so that its line in the Info log, run again, does the same whatever the panel says by then.
    """
    for name in names:
        if not operator.properties.is_property_set(name):
            setattr(operator, name, getattr(settings, name))
    return {name: getattr(operator, name) for name in names}


class ResultOperator:
    """An operator on one result: the one named, else the one that is marked in the panel, else the last in the outliner."""

    place = "output"
    """The panel where errors are told; see jobs.ModalWork."""

    result: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Result", description="Name or id of the result; empty means the active one", options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if jobs.state.running:
            cls.poll_message_set(_("A job is running; cancel it or wait for it"))
            return False
        if context.scene is None or not has_results(context.scene):
            cls.poll_message_set(_("There is no result yet; predict first"))
            return False
        return True

    def chosen(self, context: bpy.types.Context) -> Result:
        if not self.result:
            active = active_result(context.scene)
            if active is None:
                raise InvalidInput("There is no result yet.", "Predict first.")
            self.result = active.name  # so that the Info log's line means the same result when it is run again
            return active
        results = find_results(context.scene)
        for result in results:
            if self.result in (result.id, result.name):
                self.result = result.name  # an id is another one in another session
                return result
        raise InvalidInput(f"There is no result '{self.result}'.", f"Results: {', '.join(r.name for r in results)}.")

    def succeeded(self, words: str) -> set[str]:
        """Tell what was done; what the panel said before, perhaps an error, holds no more."""
        jobs.state.told(self.place, words)
        self.report({"INFO"}, words)
        return {"FINISHED"}

    def failed(self, error: SplatonymError) -> set[str]:
        jobs.state.told(self.place, error=error)
        self.report({"ERROR"}, error.sentence())
        return {"CANCELLED"}


class AskedFirst(jobs.ModalWork):
    """Work behind a dialog or a file browser: once that is answered, `execute` starts it as a modal operator."""

    confirmed: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Confirmed", description="The question was answered already", options={"HIDDEN", "SKIP_SAVE"}
    )
    _asked = False

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if jobs.state.running:
            cls.poll_message_set(_("A job is running; cancel it or wait for it"))
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.confirmed or bpy.app.background:
            return super().invoke(context, event)
        self._asked = True
        return self.ask(context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not self._asked:
            return super().execute(context)
        namespace, _dot, name = self.bl_idname.partition("_OT_")
        operator = getattr(getattr(bpy.ops, namespace.lower()), name)
        return set(operator("INVOKE_DEFAULT", confirmed=True, **self.answers()))

    def ask(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        raise TypeError(f"{type(self).__name__} asks nothing")

    def answers(self) -> dict[str, Any]:
        """The properties that the person has chosen."""
        return {}


def show_in(editor: str, name: str, block: bpy.types.ID, context: bpy.types.Context) -> bool:
    """Show a datablock in all open editors of a kind; whether there is one."""
    spaces = [
        area.spaces.active for window in context.window_manager.windows for area in window.screen.areas if area.type == editor
    ]
    for space in spaces:
        setattr(space, name, block)
    return bool(spaces)
