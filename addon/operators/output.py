# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with a result beside the files: names previewed and applied, and the report."""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as _
from bpy_extras.io_utils import ExportHelper

from ...core.errors import InvalidInput, NotAvailable, SplatonymError
from ...core.files import replacing
from .. import jobs, transfer
from ..output import SplatonymOutput, show_preview, shown_preview
from ..report import Report, as_json, as_markdown, last_report
from .base import ResultOperator, copied, settled, show_in

FORMATS = [
    ("MARKDOWN", "Markdown", "A page to read"),
    ("JSON", "JSON", "All that is known, for programs"),
]
PREVIEW = ("rename_selected", "only_unnamed", "least")


class SPLATONYM_OT_preview_names(ResultOperator, jobs.ModalWork, bpy.types.Operator):
    """List the names that objects would get after what most of their Gaussians are; nothing is renamed yet"""

    bl_idname = "splatonym.preview_names"
    bl_label = "Preview Object Names"
    bl_options = {"REGISTER", "UNDO"}

    __annotations__ = {
        "result": ResultOperator.__annotations__["result"],
        **{name: copied(name, SplatonymOutput) for name in PREVIEW},
    }

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        chosen = settled(self, context.scene.splatonym_output, PREVIEW)
        choice = {"selected": chosen["rename_selected"], "only_unnamed": chosen["only_unnamed"], "least": chosen["least"]}
        return transfer.preview_names(context, self.chosen(context), **choice)

    def done(self, context: bpy.types.Context, outcome: list[transfer.Rename]) -> str:
        show_preview(context.scene, outcome)
        if not outcome:
            return _("There is no object to rename: all have names, or are not known well enough.")
        if len(outcome) == 1:
            return _("1 object would get another name.")
        return _("{count} objects would get another name.").format(count=len(outcome))


class _WithPreview:
    """An operator on the list of names; there must be one."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.scene is None or not context.scene.splatonym_output.renames:
            cls.poll_message_set(_("Preview the names first"))
            return False
        return not jobs.state.running


class SPLATONYM_OT_apply_names(_WithPreview, bpy.types.Operator):
    """Give objects the ticked names of the preview"""

    bl_idname = "splatonym.apply_names"
    bl_label = "Apply Object Names"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        renames = shown_preview(context.scene)
        try:
            count = transfer.apply_names(context, renames)
        except SplatonymError as error:
            jobs.state.told("output", error=error)
            self.report({"ERROR"}, error.sentence())
            return {"CANCELLED"}
        context.scene.splatonym_output.renames.clear()
        words = _("Renamed 1 object") if count == 1 else _("Renamed {count} objects").format(count=count)
        jobs.state.told("output", f"{words}.")
        self.report({"INFO"}, words)
        return {"FINISHED"}


class SPLATONYM_OT_discard_names(_WithPreview, bpy.types.Operator):
    """Forget the previewed names; no object is renamed"""

    bl_idname = "splatonym.discard_names"
    bl_label = "Discard Object Names"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.splatonym_output.renames.clear()
        jobs.state.told("output")
        return {"FINISHED"}


class ReportOperator(ResultOperator):
    """An operator on what was measured of a result."""

    def measured(self, context: bpy.types.Context) -> tuple[str, Report]:
        result = self.chosen(context)
        report = last_report(result.collection)
        if report is None:
            raise NotAvailable(f"Nobody kept what was measured of '{result.name}'.", "Predict it again.")
        return result.name, report


class SPLATONYM_OT_open_report(ReportOperator, bpy.types.Operator):
    """Write what was measured of a prediction into a text of this file, and show it in the Text Editor if one is open"""

    bl_idname = "splatonym.open_report"
    bl_label = "Open Report"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            name, report = self.measured(context)
        except SplatonymError as error:
            return self.failed(error)
        title = f"{name} Report.md"
        text = bpy.data.texts.get(title) or bpy.data.texts.new(title)
        text.from_string(as_markdown(name, report))
        text.cursor_set(0)
        shown = show_in("TEXT_EDITOR", "text", text, context)
        if shown:
            words = _("The Text Editor shows '{name}'.").format(name=text.name)
        else:
            words = _("Wrote the text '{name}'; open it in a Text Editor.").format(name=text.name)
        return self.succeeded(words)


class SPLATONYM_OT_save_report(ReportOperator, bpy.types.Operator, ExportHelper):
    """Write what was measured of a prediction into a file"""

    bl_idname = "splatonym.save_report"
    bl_label = "Save Report"
    bl_options = {"REGISTER"}  # the .blend does not change

    filename_ext = ""
    check_extension = None  # the format says it
    filter_glob: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="File Filter", description="Files that are listed", default="*.md;*.json", options={"HIDDEN", "SKIP_SAVE"}
    )
    format: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Format", description="How the report is written", items=FORMATS, default="MARKDOWN"
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            name, report = self.measured(context)
            path = report_path(Path(bpy.path.abspath(self.filepath)), self.format)
            content = as_json(report) if self.format == "JSON" else as_markdown(name, report)
            with replacing(path) as file:
                file.write(content.encode())
        except SplatonymError as error:
            return self.failed(error)
        return self.succeeded(_("Wrote {path}").format(path=path))


def report_path(path: Path, format: str) -> Path:
    """Where the report goes: with the format's ending, unless it has that already."""
    if not path.name:
        raise InvalidInput("The report has no file name.", "Choose one.")
    ending = ".json" if format == "JSON" else ".md"
    return path if path.suffix.lower() == ending else path.with_name(path.name + ending)


CLASSES = (
    SPLATONYM_OT_preview_names,
    SPLATONYM_OT_apply_names,
    SPLATONYM_OT_discard_names,
    SPLATONYM_OT_open_report,
    SPLATONYM_OT_save_report,
)
