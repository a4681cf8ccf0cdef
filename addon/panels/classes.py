# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Classes": what a result holds, class by class and thing by thing, and what can be done with each.

Names, counts and confidences come from `classes.summary`, which works them out once a change.
"""

import bpy
from bpy.app.translations import pgettext_iface as _

from ...core.errors import SplatonymError
from .. import jobs
from ..answers import ANSWER
from ..build import SHOW_MODES, Result, find_results
from ..build.objects import CLASS, RESULT
from ..classes import active_class, active_result, isolated, preset_list, summary_of
from ..classes.active import active_collection, groups_of, has_results
from ..classes.names import read_names
from ..classes.summary import ClassSummary, Summary, Thing
from ..translations import CONTEXT  # in which words are short
from .base import SidebarPanel, draw_job, draw_wrapped

PLACE = "classes"
PAGE = 8
"""Things that are listed at once."""
_WIDE = 400
"""Pixels at 100 % from which on the switch is a row of buttons."""


class SPLATONYM_UL_classes(bpy.types.UIList):
    """The classes of a result; folders that people made among them are shown as such."""

    by_count: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Sort by Count", description="Put the classes with most points first", default=False
    )

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flag=0) -> None:  # type: ignore[no-untyped-def]
        if CLASS not in item:
            layout.label(text=item.name, icon="FILE_FOLDER")
            _draw_eye(layout, item)
            return
        found = summary_of(data).classes.get(item[CLASS]) if RESULT in data else None
        row = layout.row(align=True)
        row.active = not item.hide_viewport
        swatch = row.row(align=True)
        swatch.ui_units_x = 1.0
        swatch.prop(item, "splatonym_class_colour", text="")
        row.separator(factor=0.5)
        row.prop(item, "splatonym_class_name", text="", emboss=False)
        _draw_numbers(row, found)
        _draw_eye(layout, item)

    def draw_filter(self, context, layout) -> None:  # type: ignore[no-untyped-def]
        row = layout.row(align=True)
        row.prop(self, "filter_name", text="", icon="VIEWZOOM")
        row.prop(self, "use_filter_invert", text="", icon="ARROW_LEFTRIGHT")
        row.separator()
        row.prop(self, "use_filter_sort_alpha", text="", icon="SORTALPHA")
        row.prop(self, "by_count", text="", icon="SORTSIZE")
        row.prop(self, "use_filter_sort_reverse", text="", icon="SORT_DESC" if self.use_filter_sort_reverse else "SORT_ASC")

    def filter_items(self, context, data, property_name):  # type: ignore[no-untyped-def]
        children = getattr(data, property_name)
        names = [str(child.get(CLASS, child.name)) for child in children]
        wanted = self.filter_name.casefold()
        # Inverting is left to Blender, which does it with `use_filter_invert` itself.
        flags = [self.bitflag_filter_item if wanted in name.casefold() else 0 for name in names]
        if not (self.by_count or self.use_filter_sort_alpha):
            return flags, []
        counts = summary_of(data).classes if self.by_count and RESULT in data else {}
        order = sorted(
            range(len(names)),
            key=lambda k: -counts[names[k]].count if names[k] in counts else 0 if self.by_count else names[k].casefold(),
        )
        places = [0] * len(names)
        for new, old in enumerate(order):
            places[old] = new
        return flags, places


def _draw_eye(layout: bpy.types.UILayout, item: bpy.types.Collection) -> None:
    layout.prop(
        item, "hide_viewport", text="", emboss=False, icon="HIDE_OFF"
    )  # where it is hidden, Blender takes the icon before


class SPLATONYM_MT_results(bpy.types.Menu):
    """The results of this scene"""

    bl_label = "Results"

    def draw(self, context: bpy.types.Context) -> None:
        active = active_collection(context.scene)
        for result in find_results(context.scene):
            mark = "RADIOBUT_ON" if result.collection == active else "RADIOBUT_OFF"
            button = self.layout.operator(
                "splatonym.activate_result", text=f"{result.name} ({result.count:,})", icon=mark, translate=False
            )
            button.result = result.id


class SPLATONYM_MT_merge_class(bpy.types.Menu):
    """Make the class part of another"""

    bl_label = "Merge Into"

    def draw(self, context: bpy.types.Context) -> None:
        collection = active_collection(context.scene)
        if collection is None:
            return
        mine = active_class(collection)
        for name in summary_of(collection).classes:
            if name != mine:
                button = self.layout.operator("splatonym.merge_class", text=name, icon=_icon(collection, name), translate=False)
                button.class_name, button.into = mine, name


class SPLATONYM_MT_instance_to_class(bpy.types.Menu):
    """Say what the thing really is"""

    bl_label = "Move to Class"

    def draw(self, context: bpy.types.Context) -> None:
        collection = active_collection(context.scene)
        if collection is not None:
            _draw_targets(self.layout, collection, "splatonym.instance_to_class", active_class(collection))


class SPLATONYM_MT_points_to_class(bpy.types.Menu):
    """Say what the selected points really are"""

    bl_label = "Selected Points to Class"

    def draw(self, context: bpy.types.Context) -> None:
        collection = active_collection(context.scene)
        if collection is not None:
            _draw_targets(self.layout, collection, "splatonym.points_to_class", "")


class SPLATONYM_MT_class_presets(bpy.types.Menu):
    """Sets of names and colours"""

    bl_label = "Names and Colours"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        shipped, own = preset_list()
        for names, icon in ((own, "USER"), (shipped, "COLOR")):
            for name in names:
                layout.operator("splatonym.apply_class_preset", text=name, icon=icon, translate=False).preset = name
            if names:
                layout.separator()
        layout.operator("splatonym.save_class_preset", text="Save as Own Set...", icon="ADD")
        for name in own:
            layout.operator("splatonym.remove_class_preset", text=name, icon="REMOVE", translate=False).preset = name


class SPLATONYM_MT_class_specials(bpy.types.Menu):
    """More for this class, and for all"""

    bl_label = "Class Specials"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator("splatonym.rename_class", text="Rename...", icon="GREASEPENCIL")
        layout.menu("SPLATONYM_MT_merge_class", icon="AUTOMERGE_ON")
        layout.operator("splatonym.recolour_class", text="Recolour...", icon="COLOR")
        layout.separator()
        layout.menu("SPLATONYM_MT_class_presets", icon="PRESET")
        layout.separator()
        layout.operator("splatonym.show_classes", icon="HIDE_OFF")
        layout.operator("splatonym.hide_classes", icon="HIDE_ON")


class SPLATONYM_PT_classes(SidebarPanel, bpy.types.Panel):
    bl_label = "Classes"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) or has_results(context.scene)  # a file that brings a result needs no server to be edited

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        result = active_result(context.scene)
        if result is None:
            layout.label(text="Nothing predicted yet", icon="INFO")
            return
        _draw_result(layout, context, result)
        summary = summary_of(result.collection)
        if summary.damaged:
            draw_wrapped(layout.box(), summary.damaged, context, icon="ERROR")
        if not groups_of(result.collection):
            layout.label(text="This result has no points", icon="INFO")
        else:
            _draw_classes(layout, result, summary)
        draw_job(layout, context, PLACE)


class SPLATONYM_PT_instances(SidebarPanel, bpy.types.Panel):
    bl_label = "Things"
    bl_parent_id = "SPLATONYM_PT_classes"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return has_results(context.scene)

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        things = _things(context)
        if things:
            self.layout.label(text=f"{len(things):,}", translate=False)

    def draw(self, context: bpy.types.Context) -> None:
        layout, things = self.layout, _things(context)
        collection = active_collection(context.scene)
        if collection is None or not things:
            layout.label(text="The class holds no single things", icon="INFO")
            return
        _draw_instances(layout, collection, things)


class SPLATONYM_PT_selection(SidebarPanel, bpy.types.Panel):
    bl_label = "Selection"
    bl_parent_id = "SPLATONYM_PT_classes"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return has_results(context.scene)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        column = layout.column(align=True)
        column.enabled = not jobs.state.running
        if context.mode.startswith("EDIT"):
            column.operator("splatonym.what_are_these_points", icon="QUESTION")
            column.menu("SPLATONYM_MT_points_to_class", icon="GREASEPENCIL")
            return
        column.operator("splatonym.what_is_this", icon="QUESTION")
        column.operator("splatonym.select_similar", icon="RESTRICT_SELECT_OFF")


def _draw_result(layout: bpy.types.UILayout, context: bpy.types.Context, result: Result) -> None:
    """Which result, what it shows, and what is done with all of it."""
    row = layout.row(align=True)
    if sum(RESULT in c for c in context.scene.collection.children_recursive) > 1:
        row.menu("SPLATONYM_MT_results", text=result.name, icon="OUTLINER_COLLECTION")
    else:
        row.prop(result.collection, "name", text="", icon="OUTLINER_COLLECTION")
    row.operator("splatonym.remove_result", text="", icon="TRASH").result = result.id
    if context.region.width < _WIDE * context.preferences.system.ui_scale:
        layout.prop(result.collection, "splatonym_show")
        return
    row = layout.row(align=True)
    for mode, *_rest in SHOW_MODES:
        if mode != "ANSWER" or ANSWER in result.collection:
            row.prop_enum(result.collection, "splatonym_show", mode)


def _draw_classes(layout: bpy.types.UILayout, result: Result, summary: Summary) -> None:
    """The list, the tools beside it, and what can be done with the marked class."""
    collection = result.collection
    row = layout.row()
    rows = min(max(len(collection.children), 5), 12)
    row.template_list(
        "SPLATONYM_UL_classes",
        "",
        collection,
        "children",
        collection,
        "splatonym_class_index",
        rows=rows,
        maxrows=max(rows, 12),
    )
    name, alone = active_class(collection), isolated(collection)
    tools = row.column(align=True)
    tools.enabled = not jobs.state.running
    tool = tools.operator("splatonym.isolate", text="", icon="SOLO_ON" if alone else "SOLO_OFF", depress=alone == (name, 0))
    tool.result, tool.class_name = result.id, name
    tools.separator()
    tools.operator("splatonym.show_classes", text="", icon="HIDE_OFF").result = result.id
    tools.operator("splatonym.hide_classes", text="", icon="HIDE_ON").result = result.id
    tools.separator()
    tools.menu("SPLATONYM_MT_class_specials", text="", icon="DOWNARROW_HLT")
    column = layout.column(align=True)
    column.enabled = bool(name) and not jobs.state.running
    row = column.row(align=True)
    points = row.operator("splatonym.select_class_points", text="Select Points", icon="POINTCLOUD_DATA")
    points.result, points.class_name = result.id, name
    items = row.operator("splatonym.select_class", text="Select Objects", icon="OBJECT_DATA")
    items.result, items.class_name = result.id, name
    row = column.row(align=True)
    rename = row.operator("splatonym.rename_class", text="Rename", text_ctxt=CONTEXT, icon="GREASEPENCIL")
    rename.result = result.id
    row.menu("SPLATONYM_MT_merge_class", text="Merge", text_ctxt=CONTEXT, icon="AUTOMERGE_ON")
    delete = row.operator("splatonym.delete_class", text="Delete", icon="TRASH")
    delete.result, delete.class_name = result.id, name


def _draw_instances(layout: bpy.types.UILayout, collection: bpy.types.Collection, things: tuple[Thing, ...]) -> None:
    """The things of the marked class, a page at a time, and what can be done with the marked one."""
    pages = -(-len(things) // PAGE)
    page = min(max(collection.splatonym_page, 1), pages)
    marked, alone = collection.splatonym_instance, isolated(collection)
    box = layout.box().column(align=True)
    for thing in things[(page - 1) * PAGE : page * PAGE]:
        row = box.split(factor=0.5, align=True)
        name = row.row(align=True)
        name.alignment = "LEFT"
        mark = "RADIOBUT_ON" if thing.id == marked else "RADIOBUT_OFF"
        button = name.operator("splatonym.activate_instance", text=thing.name, icon=mark, emboss=False, translate=False)
        button.instance = thing.id
        rest = row.row(align=True)
        rest.alignment = "RIGHT"
        _draw_numbers(rest, thing)
        only = alone == ("", thing.id)
        rest.operator("splatonym.isolate", text="", icon="SOLO_ON" if only else "SOLO_OFF", emboss=False).instance = thing.id
    if pages > 1:
        layout.prop(collection, "splatonym_page", text=_("Page {} of {}").format(page, pages))
    column = layout.column(align=True)
    column.enabled = any(thing.id == marked for thing in things) and not jobs.state.running
    row = column.row(align=True)
    points = row.operator("splatonym.select_class_points", text="Select Points", icon="POINTCLOUD_DATA")
    points.instance, points.edit_mode = marked, True
    row.operator("splatonym.select_class", text="Select Objects", icon="OBJECT_DATA").instance = marked
    row = column.row(align=True)
    row.operator("splatonym.rename_instance", text="Rename", text_ctxt=CONTEXT, icon="GREASEPENCIL")
    row.menu("SPLATONYM_MT_instance_to_class", text="Move", text_ctxt=CONTEXT, icon="FORWARD")
    row.operator("splatonym.delete_instance", text="Delete", icon="TRASH")


def _draw_targets(layout: bpy.types.UILayout, collection: bpy.types.Collection, operator: str, but: str) -> None:
    """Classes to move something to: those that occur, the others of the label set, and a new one."""
    layout.operator_context = "INVOKE_DEFAULT"
    layout.operator(operator, text="New Class...", icon="ADD")
    there = list(summary_of(collection).classes)
    try:
        others = [name for name in read_names(collection)[0].names if name not in there]
    except SplatonymError:
        others = []
    for names in (there, others[:30]):
        if names:
            layout.separator()
        for name in names:
            if name != but:
                layout.operator(operator, text=name, icon=_icon(collection, name), translate=False).class_name = name


def _things(context: bpy.types.Context) -> tuple[Thing, ...]:
    """The things of the marked class."""
    collection = active_collection(context.scene)
    found = None if collection is None else summary_of(collection).classes.get(active_class(collection))
    return () if found is None else found.things


def _draw_numbers(layout: bpy.types.UILayout, found: ClassSummary | Thing | None) -> None:
    """Count and mean confidence, as two columns at the right."""
    sure = "" if found is None or found.confidence is None else f"{found.confidence:.0%}"
    for text, width in ((f"{found.count:,}" if found else "0", 3.2), (sure, 2.3)):
        column = layout.row(align=True)
        column.ui_units_x = width
        column.alignment = "RIGHT"
        column.label(text=text, translate=False)


def _icon(collection: bpy.types.Collection, name: str) -> str:
    return next((tag_icon(group) for group in groups_of(collection) if group[CLASS] == name), "DOT")


def tag_icon(collection: bpy.types.Collection) -> str:
    """The icon of a collection in its colour."""
    return "OUTLINER_COLLECTION" if collection.color_tag == "NONE" else f"COLLECTION_{collection.color_tag}"


CLASSES = (
    SPLATONYM_UL_classes,
    SPLATONYM_MT_results,
    SPLATONYM_MT_merge_class,
    SPLATONYM_MT_instance_to_class,
    SPLATONYM_MT_points_to_class,
    SPLATONYM_MT_class_presets,
    SPLATONYM_MT_class_specials,
    SPLATONYM_PT_classes,
    SPLATONYM_PT_instances,
    SPLATONYM_PT_selection,
)
