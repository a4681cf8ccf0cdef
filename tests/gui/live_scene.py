# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts of the live view share: the checkout as a package, and a result that lies on the surfaces of meshes."""

import importlib.util
import math
import sys
import time
from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler

ROOT = Path(__file__).resolve().parents[2]


def load_package():
    spec = importlib.util.spec_from_file_location("splatonym", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    sys.modules["splatonym"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    return package


def make_result(count):
    """Floor, Cube and Suzanne with Gaussians on them, coloured by thing; and a pillar in front, which the splat knows nothing of."""
    from splatonym.addon.build import build_scene
    from splatonym.core.gaussians import GaussianArrays, sh_from_rgb
    from splatonym.core.labels import LabelMap
    from splatonym.core.scene import SemanticScene

    bpy.data.batch_remove(list(bpy.data.objects))
    bpy.ops.mesh.primitive_plane_add(size=8)
    bpy.context.object.name = "Floor"
    bpy.ops.mesh.primitive_cube_add(size=1.6, location=(-1.6, 0, 0.8))
    bpy.ops.mesh.primitive_monkey_add(size=2, location=(1.4, 0, 1.1))
    bpy.context.view_layer.update()
    rng, parts = np.random.default_rng(0), []
    things = (("Floor", (0.75, 0.7, 0.6), 0.5), ("Cube", (0.2, 0.4, 0.85), 0.2), ("Suzanne", (0.85, 0.45, 0.15), 0.3))
    for place, (name, colour, share) in enumerate(things):
        number = int(count * share)
        points, normals, area = on_surface(bpy.data.objects[name], number, rng)
        size = 0.9 * math.sqrt(area / number)
        shade = np.where(np.floor(2 * points).sum(1) % 2 == 0, 1, 0.6)[:, None]
        parts.append(
            (
                points,
                facing(normals),
                np.tile(np.float32([size, size, 0.05 * size]), (number, 1)),
                np.full(number, 0.95, np.float32),
                sh_from_rgb(np.array(colour) * shade),
                np.full(number, place, np.int32),
                np.full(number, place + 1, np.int32),
                rng.uniform(0.4 * place, 0.4 * place + 0.2, number).astype(np.float32),
            )
        )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    bpy.ops.mesh.primitive_cylinder_add(radius=0.25, depth=3, location=(-0.6, -2.2, 1.5))
    bpy.context.object.name = "Pillar"
    bpy.context.object.select_set(False)
    return build_scene(
        bpy.context.scene, SemanticScene("Thing", GaussianArrays(*columns), LabelMap(("floor", "cabinet", "chair")))
    )


def on_surface(item, count, rng):
    """Points [count, 3] on a mesh object, evenly, their normals, and the surface's area."""
    mesh = item.data
    mesh.calc_loop_triangles()
    vertices = np.array([item.matrix_world @ vertex.co for vertex in mesh.vertices])
    corners = vertices[np.array([triangle.vertices for triangle in mesh.loop_triangles])]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double = np.linalg.norm(cross, axis=1)
    chosen = rng.choice(len(corners), count, p=double / double.sum())
    a, b = rng.random((2, count, 1))
    a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
    first, second, third = (corners[chosen, k] for k in range(3))
    points = first + a * (second - first) + b * (third - first)
    return points.astype(np.float32), cross[chosen] / double[chosen, None], double.sum() / 2


def facing(normals):
    """Unit quaternions [N, 4] that turn z to the normals."""
    turns = np.stack([1 + normals[:, 2], -normals[:, 1], normals[:, 0], np.zeros(len(normals))], 1)
    turns[turns[:, 0] < 1e-6] = (0, 1, 0, 0)
    return (turns / np.linalg.norm(turns, axis=1, keepdims=True)).astype(np.float32)


def look_from_the_front(view3d):
    view3d.view_perspective = "PERSP"
    view3d.view_rotation = Euler((math.radians(65), 0, math.radians(15))).to_quaternion()
    view3d.view_location, view3d.view_distance = (0, 0, 0.7), 9


def at_rest(count=1, seconds=120):
    """Wait until this many regions show their full picture."""
    from splatonym.addon.live import running

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield 0.1
        regions = list(running._state.regions.values())
        now = time.monotonic()
        reading = any(source.busy for source in running._state.sources.values())
        if not reading and len(regions) >= count and all(r.live.picture is not None and r.live.finished(now) for r in regions):
            yield 0.5
            return
    raise AssertionError("the live view did not come to rest")


def drag(ui, seconds, pause=0.02, each=None):
    """Orbit: the middle mouse button is held and the mouse goes to and fro; how long it really took comes out of `took`."""
    region = ui.region()
    x, y = region.x + region.width // 2, region.y + region.height // 2
    yield from ui.move(x, y)
    ui.xdo("mousedown", 2)
    began, step = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step += 1
        ui.xdo("mousemove", *ui._xy(int(x + 150 * math.sin(step / 15)), int(y + 20 * math.sin(step / 8))))
        yield pause
        if each is not None:
            each(step)
    took = time.perf_counter() - began
    ui.xdo("mouseup", 2)
    return took
