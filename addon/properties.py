# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel remembers in the .blend: the settings of the next prediction.

(No postponed annotations here and in operators.py: Blender reads properties from the annotations' values.)
"""

import bpy

from ..core.errors import SplatonymError
from ..core.labels import preset_names
from . import answers, build, jobs
from .classes.active import active_result

CAMERA_SOURCES = [
    ("SELECTED", "Selected", "The selected cameras"),
    ("ALL", "All", "All cameras of the scene"),
    ("ACTIVE_ANIMATED", "Animated", "The active camera at the frames of the scene's frame range"),
]
LABEL_SOURCES = [
    ("scene", "Scene", "Classes from the objects: custom property semantic_class, else their collections', else their names"),
    ("network", "Network", "The 24 classes that the network knows, from the pictures; without instances"),
    ("text", "Text", "Names that you type; the result can be asked for anything afterwards"),
]
REGIONS = [
    ("auto", "Auto", "Blender's objects where the views have them, else SAM if it is installed, else without training"),
    ("instances", "Objects", "The scene's objects, from Blender's own passes: exact"),
    ("sam", "SAM", "A SAM-family model; needs the package transformers and its weights"),
    ("segments", "Colour and Depth", "Surfaces that look alike; needs nothing"),
]
PREDICTORS = [
    ("auto", "Auto", "The network, with depth where there is depth"),
    ("network", "Network", "A trained network: Gaussians and classes from a few pictures, with or without depth"),
    ("depth-pass", "Depth Pass", "Gaussians on the surfaces that the depth pass shows; exact, needs no training"),
]
TAKE_DEPTH_OR_LEAVE_IT = ("auto", "network")
"""Predictors that can do without depth."""
ENGINES = [
    ("SCENE", "Scene", "The scene's own render engine"),
    ("CYCLES", "Cycles", "Path tracing"),
    ("EEVEE", "EEVEE", "Rasterized"),
    ("WORKBENCH", "Workbench", "Plain shading, fast"),
]
DEFAULT_NAMES = "wall, floor, ceiling, window, door, chair, sofa, table, bed, cabinet, shelf, lamp, plant, picture, rug"
# Blender keeps no copy of the strings of a dynamic enumeration; this list does.
LABEL_PRESETS = [(name, name.title(), f"The label set '{name}'") for name in preset_names()]


LEVELS = [
    ("object", "Object", "Whole things, those that fit in the mean"),
    ("part", "Part", "Point by point"),
    ("group", "Group", "Things that fit, and all others of the same class"),
]


_following = False


def follow(scene: bpy.types.Scene, found: answers.Found) -> None:
    """The panel's level and slider stand where an answer has them; nothing is chosen anew by that."""
    global _following
    _following = True
    try:
        scene.splatonym_question.level, scene.splatonym_question.threshold = found.level, found.threshold
    finally:
        _following = False


def _choose_anew(settings: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """The slider moved: what the last question to the panel's result means is chosen again."""
    if _following or jobs.state.running:
        return
    result = active_result(settings.id_data)
    found = answers.last_answer(result) if result else None
    if result is None or found is None:
        return
    if settings.level != found.level or abs(settings.threshold - found.threshold) > 1e-6:
        try:
            answers.choose_anew(result, settings.level, settings.threshold)
        except SplatonymError as error:  # a property cannot report; the panel says it
            jobs.state.told("ask", error=error)


def _ask_on_enter(settings: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """Enter in the panel's question asks it. A property cannot start an operator itself, so this waits for the next moment."""
    if bpy.app.background or context.window is None or not settings.text.strip():
        return  # a script asks by the operator
    window, text, level = context.window.as_pointer(), settings.text, settings.level

    def ask() -> None:
        there = next((w for w in bpy.context.window_manager.windows if w.as_pointer() == window), None)
        if there is None or jobs.state.running or not hasattr(bpy.types, "SPLATONYM_OT_query"):
            return
        with bpy.context.temp_override(window=there):
            if bpy.ops.splatonym.query.poll():
                bpy.ops.splatonym.query("INVOKE_DEFAULT", text=text, level=level)

    bpy.app.timers.register(ask, first_interval=0.0)


class SplatonymSettings(bpy.types.PropertyGroup):
    camera_source: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Cameras", description="Which cameras see the scene", items=CAMERA_SOURCES, default="SELECTED"
    )
    resolution: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Resolution",
        description="Longer side of each view, in pixels; its shape is the scene's",
        default=256,
        min=16,
        max=4096,
        soft_max=1024,
        subtype="PIXEL",
    )
    samples: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Samples", description="Render samples per pixel of each view", default=16, min=1, max=4096
    )
    engine: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Engine", description="What renders the views", items=ENGINES, default="SCENE"
    )
    predictor: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Predictor", description="What turns views into Gaussians", items=PREDICTORS, default="depth-pass"
    )
    use_depth: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Use Depth",
        description="Give the network the rendered depth; without it, depth is found in the pictures alone",
        default=True,
    )
    label_source: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Labels", description="Where the classes come from", items=LABEL_SOURCES, default="scene"
    )
    label_set: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Label Set", description="The names that classes can have", items=LABEL_PRESETS, default="indoor"
    )
    names: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Names",
        description="What things may be called, with commas between; other words for a thing after '=': sofa = couch | settee",
        default=DEFAULT_NAMES,
    )
    model: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Model",
        description="Vision-language model: auto (the best on this machine), tiny, a name of open_clip, or a folder",
        default="auto",
    )
    regions: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Regions", description="What is described as one thing", items=REGIONS, default="auto"
    )
    result_name: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Name",
        description="The result's collection; predicting again under the same name replaces it",
        default="Splatonym",
    )


class SplatonymQuestion(bpy.types.PropertyGroup):
    text: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Ask",
        description="What you look for: red chair; chair, stool; chair not armchair. Enter asks",
        update=_ask_on_enter,
    )
    level: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Level", items=LEVELS, default="object", description="What is chosen", update=_choose_anew
    )
    threshold: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Threshold",
        description="Least score of what is meant; a question sets it where the scores fall into two groups",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_choose_anew,
    )
    teach: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Teach", description="What the things found really are; what is like them follows"
    )


class SplatonymPlan(bpy.types.PropertyGroup):
    count: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Cameras", description="How many cameras a plan may place", default=16, min=1, max=1000, soft_max=100
    )


def show_property() -> bpy.props.EnumProperty:
    """The switch of a result's collection: what its points show. It stores nothing; build.get_show and set_show do."""
    modes = [identifier for identifier, *_ in build.SHOW_MODES]
    return bpy.props.EnumProperty(
        name="Show",
        description="What the points of this result show",
        items=[(*mode, place) for place, mode in enumerate(build.SHOW_MODES)],
        get=lambda collection: modes.index(build.get_show(collection)),
        set=lambda collection, place: build.set_show(collection, modes[place]),
    )
