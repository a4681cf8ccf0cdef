# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders each furniture model alone, in many colours and from many sides: what a vision-language model learns names from.

    .venv-dataset/bin/python scripts/dataset/objects.py --out OBJECTS [--views 8] [--size 128] [--step 2 --first 0 --core 0]

A model's folder appears whole or not at all, and one that is there is not made again. It holds view_00.jpg ... (sRGB), mask_00.png (255 where
the object is) and object.json: name, category, class, held_out, and for each view what was done to it: a colour's name, "wood", or nothing.
"""

import argparse
import json
import math
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

SWEET_HOME = "/usr/share/sweethome3d"
COLOURS = {
    "white": (0.85, 0.85, 0.84), "black": (0.05, 0.05, 0.055), "grey": (0.45, 0.45, 0.46), "red": (0.72, 0.09, 0.08),
    "orange": (0.88, 0.45, 0.08), "yellow": (0.88, 0.78, 0.12), "green": (0.14, 0.5, 0.16), "turquoise": (0.1, 0.6, 0.6),
    "blue": (0.1, 0.22, 0.68), "purple": (0.42, 0.14, 0.55), "pink": (0.9, 0.48, 0.62), "brown": (0.35, 0.2, 0.1),
    "beige": (0.8, 0.7, 0.54),
}  # fmt: skip
"""sRGB, 0..1."""


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--furniture", default=f"{SWEET_HOME}/furniture", help="folder with the .sh3f libraries")
    parser.add_argument("--jar", default=f"{SWEET_HOME}/sweethome3d.jar", help="sweethome3d.jar, for its textures")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--views", type=int, default=8, help="pictures of each model")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1, help="take every STEPth model, to share work among processes")
    parser.add_argument("--core", type=int, help="stay on this processor core (Linux)")
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--stop-file", type=Path, help="finish the model in progress and end once this file exists")
    return parser.parse_args(words)


def main():
    options = parse()
    if options.core is not None:  # before Blender starts its threads, as for rooms
        os.sched_setaffinity(0, {options.core})
    if options.nice:
        os.nice(options.nice)
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that `dataset` is found as a package
    from dataset import taxonomy
    from dataset.assets import Assets

    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        assets = Assets(options.furniture, options.jar, work)
        (options.out / "ATTRIBUTION.txt").write_text(taxonomy.attribution(assets.models), encoding="utf-8")
        models = sorted((m for some in assets.models.values() for m in some), key=lambda m: (m.library, m.id))
        for number, model in list(enumerate(models))[options.first :: options.step]:
            if options.stop_file and options.stop_file.exists():
                break
            if not (options.out / f"object_{number:04d}").exists():
                print(make_one(assets, model, number, options, work), flush=True)
    return 0


def make_one(assets, model, number, options, work):
    """All pictures of one model; returns a line for the log."""
    import numpy as np
    from PIL import Image

    from dataset import render
    from dataset.assets import clear_scene

    start = time.monotonic()
    beside = Path(tempfile.mkdtemp(dir=options.out, prefix=".object"))
    views = []
    for view in range(options.views):
        rng = random.Random(f"object {model.library} {model.id} {view}")  # noqa: S311
        clear_scene()
        change = place(assets, model, rng)
        renderer = render.Renderer(options.size, math.radians(40), options.samples, work)
        pose = around(model.size, rng)
        mask = renderer.geometry(pose)[1] == 1
        colour = render.develop([renderer.colour(pose)], middle=rng.uniform(0.2, 0.4))[0]
        if mask.mean() < 0.02:  # seen from its thin side
            continue
        Image.fromarray(colour).save(beside / f"view_{view:02d}.jpg", quality=92)
        Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(beside / f"mask_{view:02d}.png")
        views.append({"view": view, "change": change})
    about = {
        "name": model.name, "category": model.category, "class": model.cls, "id": model.id, "held_out": model.held_out,
        "views": views,
    }  # fmt: skip
    (beside / "object.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    beside.chmod(0o755)
    shutil.move(beside, options.out / f"object_{number:04d}")
    return f"object {number} {model.cls} '{model.name}': {len(views)} views, {time.monotonic() - start:.1f} s"


def place(assets, model, rng):
    """Put the model on a floor under a lamp; returns the name of the colour that it was given, "wood", or None for its own."""
    import bpy

    from dataset.materials import new_material, patterned, random_colour

    thing = bpy.data.objects.new(model.name, assets.mesh(model))
    thing.scale, thing.pass_index = model.size, 1
    bpy.context.collection.objects.link(thing)
    draw, change, material = rng.random(), None, None
    if draw < 0.5:
        change = rng.choice(list(COLOURS))
        shade = tuple(min(max(c * rng.uniform(0.85, 1.12), 0.02), 0.9) ** 2.2 for c in COLOURS[change])
        material = new_material(shade, rng.uniform(0.3, 0.9))
    elif draw < 0.62:
        woods = [t for t in assets.textures if "wood" in str(t[1]).lower() or "parquet" in str(t[1]).lower()]
        if woods:
            change, (_, path, size) = "wood", rng.choice(woods)
            material = new_material(random_colour(rng, (0.6, 1), 0.3), rng.uniform(0.3, 0.7), path, size)
    if material is not None:
        for slot in thing.material_slots:
            if slot.material is None or not slot.material.get("glass"):
                slot.link, slot.material = "OBJECT", material

    bpy.ops.mesh.primitive_plane_add(size=60)
    floor = bpy.context.object
    floor.pass_index = 2
    tone = random_colour(rng, (0.25, 0.9), 0.4)
    floor.data.materials.append(
        patterned(rng, world=True) if rng.random() < 0.25 else new_material(tone, rng.uniform(0.4, 0.9))
    )
    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    shade = world.node_tree.nodes["Background"]
    shade.inputs[0].default_value = (*random_colour(rng, (0.5, 1), 0.2), 1)
    shade.inputs[1].default_value = rng.uniform(0.5, 1.0)
    light = bpy.data.lights.new("sun", "SUN")
    light.energy, light.angle = rng.uniform(1.0, 3.0), 0.4
    sun = bpy.data.objects.new("sun", light)
    sun.rotation_euler = (rng.uniform(-0.9, 0.9), rng.uniform(-0.9, 0.9), 0)
    bpy.context.collection.objects.link(sun)
    return change


def around(size, rng):
    """A pose that shows all of a thing of this size standing on the origin."""
    from mathutils import Matrix, Vector

    centre, radius = Vector((0, 0, size[2] / 2)), 0.5 * math.sqrt(sum(s * s for s in size))
    high, turn = math.radians(rng.uniform(2, 50)), rng.uniform(0, 2 * math.pi)
    towards = Vector((math.cos(high) * math.cos(turn), math.cos(high) * math.sin(turn), math.sin(high)))
    eye = centre + towards * (radius / math.sin(math.radians(20)) * rng.uniform(0.9, 1.4))
    rotation = (-towards).to_track_quat("-Z", "Y").to_matrix().to_4x4()
    import numpy as np

    return np.array(Matrix.Translation(eye) @ rotation)


if __name__ == "__main__":
    sys.exit(main())
