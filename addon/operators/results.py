# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, and what is done with a whole result: predict, cancel, render, export, remove."""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as _
from bpy_extras.io_utils import ExportHelper

from ...core.errors import InvalidInput, SplatonymError
from ...core.ply import write_ply
from .. import jobs
from ..build import read_gaussians, remove_result
from ..labelling import LabelOptions, Outcome, label_cameras
from ..pictures import PICTURES, render_result
from .base import ResultOperator, copied, settled, show_in

SETTINGS = (
    "result_name", "camera_source", "resolution", "samples", "engine", "predictor", "use_depth", "label_source", "label_set",
    "names", "model", "regions",
)  # fmt: skip


class SPLATONYM_OT_predict(jobs.ModalWork, bpy.types.Operator):
    """Render the cameras, predict labelled Gaussians on the local server, and bring them back as objects grouped by class"""

    bl_idname = "splatonym.predict"
    bl_label = "Predict Labelled Gaussians"
    bl_options = {"REGISTER", "UNDO"}

    __annotations__ = {name: copied(name) for name in SETTINGS}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if jobs.state.running:
            cls.poll_message_set(_("A job is running; cancel it or wait for it"))
            return False
        return context.scene is not None

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        return label_cameras(context, LabelOptions(**settled(self, context.scene.splatonym, SETTINGS)))

    def done(self, context: bpy.types.Context, outcome: Outcome) -> str:
        context.scene.splatonym_result = outcome.result_id  # the panels are about it from now on
        count, classes = len(outcome.scene.gaussians), len(outcome.scene.counts())
        words = f"{count:,} Gaussians of {classes} classes in '{outcome.scene.name}'."
        return f"{words} {outcome.notes}".strip()


class SPLATONYM_OT_cancel(bpy.types.Operator):
    """Stop the running job; the scene stays as it was"""

    bl_idname = "splatonym.cancel"
    bl_label = "Cancel Splatonym Job"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return jobs.state.running

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.state.cancel_asked = True
        return {"FINISHED"}


class SPLATONYM_OT_render_view(ResultOperator, jobs.ModalWork, bpy.types.Operator):
    """Rasterize a result through the scene's active camera into an image: colour, depth, opacity, classes or instances"""

    bl_idname = "splatonym.render_view"
    bl_label = "Render Splat View"
    bl_options = {"REGISTER", "UNDO"}

    picture: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Picture", items=PICTURES, default="RGB", description="What the image shows"
    )

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        return render_result(context, self.chosen(context), self.picture)

    def done(self, context: bpy.types.Context, outcome: bpy.types.Image) -> str:
        shown = show_in("IMAGE_EDITOR", "image", outcome, context)
        if not bpy.app.background:
            outcome.preview_ensure()  # the panel shows it small
        if shown:
            return _("Rendered the image '{name}'; the Image Editor shows it.").format(name=outcome.name)
        return _("Rendered the image '{name}'; open it in an Image Editor.").format(name=outcome.name)


class SPLATONYM_OT_export_ply(ResultOperator, bpy.types.Operator, ExportHelper):
    """Write a result as a 3DGS PLY file, with its labels or strictly as other programs know it"""

    bl_idname = "splatonym.export_ply"
    bl_label = "Export Labelled Splat (3DGS PLY)"
    bl_options = {"REGISTER"}

    filename_ext = ".ply"
    filter_glob: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="File Filter", description="Files that are listed", default="*.ply", options={"HIDDEN"}
    )
    strict: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Strict 3DGS",
        description="Leave out label, instance and confidence, for programs that know only the original properties",
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            scene = read_gaussians(self.chosen(context).collection)
            write_ply(Path(bpy.path.abspath(self.filepath)), scene.gaussians, strict=self.strict)
        except SplatonymError as error:
            return self.failed(error)
        except OSError as error:
            return self.failed(
                InvalidInput(f"'{self.filepath}' cannot be written: {error.strerror}.", "Choose another folder.")
            )
        return self.succeeded(f"Wrote {len(scene.gaussians):,} Gaussians to {self.filepath}")


class SPLATONYM_OT_remove_result(ResultOperator, bpy.types.Operator):
    """Remove a result with all its objects and data"""

    bl_idname = "splatonym.remove_result"
    bl_label = "Remove Splatonym Result"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            result = self.chosen(context)
        except SplatonymError as error:
            return self.failed(error)
        name = result.name
        remove_result(context.scene, result.id)
        return self.succeeded(f"Removed '{name}'")


CLASSES = (
    SPLATONYM_OT_predict,
    SPLATONYM_OT_cancel,
    SPLATONYM_OT_render_view,
    SPLATONYM_OT_export_ply,
    SPLATONYM_OT_remove_result,
)
