# SPDX-License-Identifier: GPL-3.0-or-later
"""Placing cameras and showing what they cover: operators for the panel, operator search and scripts."""

import bpy
from bpy.app.translations import pgettext_iface as _

from ...core.errors import InvalidInput
from .. import jobs, planning
from ..capture import choose_cameras
from ..properties import SplatonymPlan
from .base import copied, settled

WHERE = [
    ("AUTO", "Auto", "In the rooms; where there are none, outdoors"),
    ("INDOORS", "Indoors", "On floors with walls around"),
    ("OUTDOORS", "Outdoors", "On open ground"),
]


def rings_property() -> bpy.props.IntProperty:
    return bpy.props.IntProperty(name="Rings", description="In how many rings", default=2, min=1, max=1000, soft_max=10)


def where_property() -> bpy.props.EnumProperty:
    return bpy.props.EnumProperty(name="Where", description="Where cameras may stand", items=WHERE, default="AUTO")


def eye_height_property() -> bpy.props.FloatProperty:
    return bpy.props.FloatProperty(
        name="Eye Height",
        description="Height of a person's eyes over the floor, in metres; all distances that cameras keep go by it",
        default=1.5,
        min=0.001,
        soft_min=0.1,
        soft_max=10.0,
    )


def detail_property() -> bpy.props.FloatProperty:
    return bpy.props.FloatProperty(
        name="Detail",
        description="What a pixel covers at most, in metres, at the panel's resolution: farther things do not count as seen. "
        "0 goes by the size of the scene",
        default=0.0,
        min=0.0,
        soft_max=1.0,
        precision=3,
    )


def percent(share: float) -> str:
    """A share as whole percent, rounded down: 100 % means all."""
    return f"{int(share * 100 + 1e-9)} %"


def report(plan: planning.Plan) -> str:
    """What was planned, in a sentence or two."""
    count = len(plan.cameras)
    words = [f"{count} camera{'' if count == 1 else 's'}"]
    if plan.coverage is None:
        words[0] += f" in '{planning.COLLECTION}', selected."
    else:
        covered, coverage = percent(plan.coverage.share(1)), plan.coverage
        words[0] += f" see{'s' if count == 1 else ''} {covered} of the surfaces, {percent(coverage.share(2))} from two places."
        least = [f"{name} ({percent(share)})" for name, share in coverage.by_owner()[:3] if share < coverage.share(2)]
        if least:
            words.append(f"Least from two places: {', '.join(least)}.")
    return " ".join(words + plan.notes)


class PlanWork(jobs.ModalWork):
    """An operator that plans, as steps."""

    place = "views"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if jobs.state.running:
            cls.poll_message_set(_("A job is running; cancel it or wait for it"))
            return False
        return context.scene is not None

    def done(self, context: bpy.types.Context, outcome: planning.Plan) -> str:
        return report(outcome)


class SPLATONYM_OT_plan_orbit(PlanWork, bpy.types.Operator):
    """Place cameras in rings around the selected objects, so far away that all of them is in the picture"""

    bl_idname = "splatonym.plan_orbit"
    bl_label = "Orbit Selection"
    bl_options = {"REGISTER", "UNDO"}

    count: copied("count", SplatonymPlan)  # type: ignore[valid-type]
    rings: rings_property()  # type: ignore[valid-type]
    lowest: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Lowest",
        description="Elevation of the lowest ring; below zero it looks up",
        subtype="ANGLE",
        default=0.25,
        min=-1.5,
        max=1.5,
    )
    highest: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Highest",
        description="Elevation of the highest ring",
        subtype="ANGLE",
        default=0.7,
        min=-1.5,
        max=1.5,
    )
    margin: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Distance",
        description="Distance of the cameras; at 1 the ball around the objects just fits the picture",
        default=1.05,
        min=0.1,
        soft_min=0.7,
        soft_max=3.0,
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not any(thing.type not in {"CAMERA", "LIGHT"} for thing in context.view_layer.objects.selected):
            cls.poll_message_set(_("Select the objects to orbit"))
            return False
        return super().poll(context)

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        settled(self, context.scene.splatonym_plan, ("count",))
        return planning.plan_orbit(
            context, planning.OrbitOptions(self.count, self.rings, self.lowest, self.highest, self.margin)
        )


class SPLATONYM_OT_plan_walk(PlanWork, bpy.types.Operator):
    """Place cameras at eye height on a way through the rooms, looking across them in alternating directions"""

    bl_idname = "splatonym.plan_walk"
    bl_label = "Walk Through Rooms"
    bl_options = {"REGISTER", "UNDO"}

    count: copied("count", SplatonymPlan)  # type: ignore[valid-type]
    eye_height: eye_height_property()  # type: ignore[valid-type]
    where: where_property()  # type: ignore[valid-type]

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        settled(self, context.scene.splatonym_plan, ("count",))
        return planning.plan_walk(context, planning.WalkOptions(self.count, self.eye_height, self.where))


class SPLATONYM_OT_plan_cover(PlanWork, bpy.types.Operator):
    """Place as few cameras as see all surfaces from two places, or as much as the most cameras can"""

    bl_idname = "splatonym.plan_cover"
    bl_label = "Cover Scene"
    bl_options = {"REGISTER", "UNDO"}

    count: copied("count", SplatonymPlan)  # type: ignore[valid-type]
    resolution: copied("resolution")  # type: ignore[valid-type]
    enough: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Enough",
        description="Share of the surfaces that, seen from two places, needs no more cameras",
        subtype="FACTOR",
        default=1.0,
        min=0.01,
        max=1.0,
    )
    detail: detail_property()  # type: ignore[valid-type]
    eye_height: eye_height_property()  # type: ignore[valid-type]
    where: where_property()  # type: ignore[valid-type]
    only_selected: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Selected Only", description="Cover only the selected objects"
    )
    show: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Show Coverage", description="Show on the surfaces from how many places they are seen", default=True
    )

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        settled(self, context.scene.splatonym_plan, ("count",))
        settled(self, context.scene.splatonym, ("resolution",))
        options = planning.CoverOptions(
            most=self.count,
            enough=self.enough,
            detail=self.detail,
            resolution=self.resolution,
            eye_height=self.eye_height,
            where=self.where,
            only_selected=self.only_selected,
            show=self.show,
        )
        return planning.plan_cover(context, options)


class SPLATONYM_OT_show_coverage(PlanWork, bpy.types.Operator):
    """Show from how many places the cameras see each surface: red from none, orange from one, green from two, blue from more"""

    bl_idname = "splatonym.show_coverage"
    bl_label = "Show Coverage"
    bl_options = {"REGISTER", "UNDO"}

    camera_source: copied("camera_source")  # type: ignore[valid-type]
    resolution: copied("resolution")  # type: ignore[valid-type]
    detail: detail_property()  # type: ignore[valid-type]
    eye_height: eye_height_property()  # type: ignore[valid-type]
    where: where_property()  # type: ignore[valid-type]

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        settled(self, context.scene.splatonym, ("camera_source", "resolution"))
        if self.camera_source == "ACTIVE_ANIMATED":
            raise InvalidInput("Coverage is shown of cameras that stand still.", "Choose Selected or All under Cameras.")
        options = planning.CoverOptions(
            detail=self.detail, resolution=self.resolution, eye_height=self.eye_height, where=self.where
        )
        return planning.cover_with(context, choose_cameras(context, self.camera_source), options)


class SPLATONYM_OT_use_all_cameras(bpy.types.Operator):
    """Take all cameras of the scene as views, whatever is selected"""

    bl_idname = "splatonym.use_all_cameras"
    bl_label = "Use All Cameras"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.scene is not None and not jobs.state.running

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.splatonym.camera_source = "ALL"
        jobs.state.told("views")  # what was said of the selection is repaired
        return {"FINISHED"}


class SPLATONYM_OT_clear_plan(bpy.types.Operator):
    """Remove the planned cameras and the coverage that is shown; other cameras stay"""

    bl_idname = "splatonym.clear_plan"
    bl_label = "Clear Plan"
    bl_options = {"REGISTER", "UNDO"}

    cameras: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Cameras", description="Remove the planned cameras", default=True
    )
    coverage: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Coverage", description="Remove the coverage that is shown", default=True
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not (planning.planned_cameras(context.scene) or planning.find_coverage(context.scene)):
            cls.poll_message_set(_("Nothing is planned"))
            return False
        return not jobs.state.running

    def execute(self, context: bpy.types.Context) -> set[str]:
        count, shown = planning.clear_plan(context.scene, cameras=self.cameras, coverage=self.coverage)
        words = [f"{count} camera{'' if count == 1 else 's'}"] * (count > 0) + ["the coverage"] * shown
        self.report({"INFO"}, f"Removed {' and '.join(words) or 'nothing'}")
        return {"FINISHED"}


CLASSES = (
    SPLATONYM_OT_plan_orbit,
    SPLATONYM_OT_plan_walk,
    SPLATONYM_OT_plan_cover,
    SPLATONYM_OT_show_coverage,
    SPLATONYM_OT_use_all_cameras,
    SPLATONYM_OT_clear_plan,
)
