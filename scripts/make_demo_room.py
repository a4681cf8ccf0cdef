# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the demo room: a furnished living room with lights, ten cameras and a class for every object.

    .venv-blender/bin/python scripts/make_demo_room.py --furniture /usr/share/sweethome3d/furniture \
                                                       --out addon/demo/room.blend

Needs the package bpy (4.5) and the CC0 models of Debian's package sweethome3d-furniture. The layout is in
``demo_room/layout.py``. Beside the .blend file goes ATTRIBUTION.md, the list of the models used.
"""

import argparse
import math
import sys
import tempfile
from collections import Counter
from pathlib import Path

import bpy
from mathutils import Vector

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]
from demo_room import catalogue, checks, layout, shell  # noqa: E402

MAX_BYTES = 6_000_000
GAP = 0.002  # between a thing and what it stands on


def start():
    """An empty scene with the layout's collections."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.name = "Demo Room"
    for name, (parent, label) in layout.COLLECTIONS.items():
        collection = bpy.data.collections.new(name)
        (bpy.data.collections[parent] if parent else scene.collection).children.link(collection)
        if label:
            collection["semantic_class"] = label
    for space in (s for screen in bpy.data.screens for area in screen.areas for s in area.spaces):
        if space.type == "FILE_BROWSER" and space.params:
            space.params.directory = b"//"  # not this machine's home folder
    return scene


# -- furniture ---------------------------------------------------------------------------------


def furnish(library):
    """Put up every item of the layout, then the books."""
    meshes = {}
    for item in layout.ITEMS:
        if item.model not in meshes:
            meshes[item.model] = library.load(item.model, item.faces, item.drop, item.glow)[0]
            recolour(meshes[item.model], item.colours)
        obj = shell.add(item.name, item.label, item.collection, meshes[item.model], item.own)
        obj.scale = [item.scale] * 3
        stand(obj, item.at, item.turn, item.on, item.below, item.z)
    for k, (host, at, below, length) in enumerate(layout.BOOKS):
        name = f"Books.{k:03d}" if k else "Books"
        stand(shell.add(name, "small_object", "Books", shell.books_mesh(k, length)), at, 0, host, below)


def recolour(mesh, colours):
    """Give the materials whose name holds one of the words that word's colour."""
    for material in mesh.materials:
        colour = next((c for word, c in colours.items() if word in material.name.split(" / ")[0]), None)
        if colour:
            shader = material.node_tree.nodes["Principled BSDF"]
            for link in list(shader.inputs["Base Color"].links):
                material.node_tree.links.remove(link)
            shader.inputs["Base Color"].default_value = shader.inputs["Emission Color"].default_value = (*colour, 1)


def stand(obj, at, turn, on=None, below=None, z=None):
    """Place an object on the floor, at height `z`, or on another one, where a ray from above meets it."""
    height, turn = z if z is not None else GAP, math.radians(turn)
    if on:
        host = bpy.data.objects[on]
        at, height = surface_of(host, at, below or 10, obj)
        turn += host.rotation_euler.z
    obj.rotation_euler.z = turn
    obj.location = (*at, height)
    bpy.context.view_layer.update()


def surface_of(host, at, below, obj):
    """Where a thing at `at` in its host's frame stands: (x, y) and the highest point under its middle part."""
    reach = min(obj.dimensions.xy) * 0.3
    hits = []
    for i in range(25):
        spot = Vector((at[0] + (i % 5 - 2) / 2 * reach, at[1] + (i // 5 - 2) / 2 * reach, below))
        hit, point, _, _ = host.ray_cast(Vector(c / s for c, s in zip(spot, host.scale, strict=True)), (0, 0, -1))
        if hit:
            hits.append(host.matrix_world @ point)
    if len(hits) < 25:
        raise SystemExit(f"{obj.name}: no surface at {at} on {host.name}")
    middle = host.matrix_world @ Vector((at[0] / host.scale.x, at[1] / host.scale.y, 0))
    return middle.xy, max(h.z for h in hits) + GAP


# -- light and cameras -------------------------------------------------------------------------


def add_light(name, kind, at, aim, energy, colour, size=(1, 1)):
    """A lamp that lights the room and is not itself seen."""
    data = bpy.data.lights.new(name, kind)
    data.energy, data.color = energy, colour
    if kind == "AREA":
        data.shape, data.size, data.size_y = "RECTANGLE", *size
    elif kind == "SUN":
        data.angle = math.radians(size[0])
    else:
        data.shadow_soft_size = size[0]
    obj = bpy.data.objects.new(name, data)
    bpy.data.collections["Lights"].objects.link(obj)
    obj.location = at
    obj.rotation_euler = (Vector(aim) - Vector(at)).to_track_quat("-Z", "Y").to_euler()
    obj.visible_camera = obj.visible_glossy = False
    return obj


def light():
    """Sun and sky through the windows, a soft fill from above, two warm lamps."""
    w, d, h = layout.ROOM
    for wall, middle, width, low, high in layout.WINDOWS:
        frame = shell.frame_of(wall)
        centre = frame @ Vector((middle, 0.02, (low + high) / 2))
        add_light(
            f"Sky {wall.title()}",
            "AREA",
            centre,
            frame @ Vector((middle, 3, 0.9)),
            48,
            (0.93, 0.96, 1),
            (width - 0.1, high - low - 0.1),
        )
    add_light("Sun", "SUN", (-4, 2.9, 4), (1.9, 2.2, 0), 8, (1, 0.84, 0.64), (1.5, 1))
    add_light("Fill", "AREA", (w / 2, d / 2, h - 0.05), (w / 2, d / 2, 0), 40, (1, 0.93, 0.82), (w - 1, d - 1))
    add_light("Standing Bulb", "POINT", (*layout.LAMP, 1.5), (0, 0, 0), 9, (1, 0.72, 0.42), (0.06, 0.06))
    add_light("Chandelier Glow", "POINT", (4.75, 3.4, 1.9), (0, 0, 0), 8, (1, 0.78, 0.5), (0.2, 0.2))
    world = bpy.data.worlds.new("Sky")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.55, 0.68, 0.85, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.3
    bpy.context.scene.world = world


def add_cameras(scene):
    for k, (eye, aim) in enumerate(layout.CAMERAS):
        data = bpy.data.cameras.new(f"View.{k:03d}")
        data.sensor_width, data.lens, data.clip_start, data.clip_end = 36, layout.LENS, 0.05, 50
        obj = bpy.data.objects.new(f"View.{k:03d}", data)
        bpy.data.collections["Cameras"].objects.link(obj)
        obj.location = eye
        obj.rotation_euler = (Vector(aim) - Vector(eye)).to_track_quat("-Z", "Y").to_euler()
    scene.camera = bpy.data.objects["View.000"]
    scene["splatonym_held_out"] = ",".join(f"View.{k:03d}" for k in layout.HELD_OUT)


def settings(scene):
    scene.render.engine = "CYCLES"
    scene.render.resolution_x = scene.render.resolution_y = 256
    scene.cycles.device = "CPU"
    scene.cycles.samples = 32
    scene.cycles.use_denoising = True
    scene.cycles.denoiser = "OPENIMAGEDENOISE"
    scene.cycles.denoising_prefilter = "FAST"  # half the time of "ACCURATE", and hard to tell from it at this size
    scene.cycles.max_bounces = scene.cycles.diffuse_bounces = 3
    scene.cycles.glossy_bounces = 2
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
    scene.cycles.use_light_tree = False  # few lamps
    scene.cycles.adaptive_threshold = 0.05
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    scene.view_settings.exposure = 0
    scene.unit_settings.system = "METRIC"


# -- report ------------------------------------------------------------------------------------


def attribution(library):
    rows = "".join(f"| {m.name} | {m.creator} | CC0 | {m.id} |\n" for m in sorted(library.used.values(), key=lambda m: m.id))
    return (
        "# The models in room.blend\n\n"
        f"From the library {catalogue.LIBRARY} of Sweet Home 3D (Debian package `{catalogue.PACKAGE}`): models "
        "shared on Blend Swap,\nconverted to OBJ by Emmanuel Puybaret / eTeks. The licence file of each model used "
        "here says CC0\n(<https://creativecommons.org/publicdomain/zero/1.0/>). Changed: fewer faces, smaller "
        "pictures, opaque and rough\nmaterials, some colours, some sizes.\n\n"
        "| model | creator | licence | catalogue id |\n| --- | --- | --- | --- |\n"
        + rows
        + "\nThe shell, windows, door, curtains, rug, pictures, standing lamp and books are made by "
        "`scripts/make_demo_room.py`;\ntheir textures are procedural.\n"
    )


def check(scene):
    """Stop with all complaints, or print what is in the room."""
    objects = [o for o in scene.objects if o.type == "MESH"]
    complaints = (
        checks.labels(objects, shell.INTENDED)
        + checks.intersections(objects)
        + checks.inside(objects, layout.ROOM)
        + checks.cameras(scene)
        + [f"{i.name} is not packed" for i in bpy.data.images if not i.packed_file]
    )
    found = {o: checks.label_of(o) for o in objects}
    furniture = [o for o in objects if o.name not in bpy.data.collections["Room shell"].all_objects]
    if len(furniture) < 15 or len({found[o][0] for o in furniture}) < 10:
        complaints.append("fewer than 15 pieces of furniture or 10 classes")
    for obj, (label, way) in sorted(found.items(), key=lambda f: (str(f[1][0]), f[0].name)):
        print(f"{label!s:13}{obj.name:22}{way}")
    faces = sum(len(p.vertices) - 2 for m in {o.data for o in objects} for p in m.polygons)
    print(
        f"{len(objects)} objects, {len(furniture)} of them furniture, {len({label for label, _ in found.values()})} classes, "
        f"{faces} triangles, labelled by {dict(Counter(w.split()[0] for _, w in found.values()))}"
    )
    for name in scene["splatonym_held_out"].split(","):
        print(f"{name}: {checks.coverage(scene, name):.0%} of it is seen by the input views")
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--furniture", default="/usr/share/sweethome3d/furniture", help="folder of the .sh3f libraries")
    parser.add_argument("--out", default="addon/demo/room.blend")
    args = parser.parse_args()
    out = Path(args.out).resolve()
    scene = start()
    with tempfile.TemporaryDirectory() as work:
        library = catalogue.Library(args.furniture, work)
        shell.build()
        furnish(library)
        light()
        add_cameras(scene)
        settings(scene)
        bpy.ops.outliner.orphans_purge(do_recursive=True)
        complaints = check(scene)
        out.parent.mkdir(parents=True, exist_ok=True)
        bpy.context.preferences.filepaths.save_version = 0
        bpy.ops.wm.save_as_mainfile(filepath=str(out), compress=True)
    (out.parent / "ATTRIBUTION.md").write_text(attribution(library), encoding="utf-8")
    if out.stat().st_size > MAX_BYTES:
        complaints.append(f"the file has {out.stat().st_size} bytes")
    print(f"{out.name}: {out.stat().st_size / 1e6:.2f} MB, {len(library.used)} models")
    if complaints:
        raise SystemExit("not as it should be:\n  " + "\n  ".join(complaints))


if __name__ == "__main__":
    main()
