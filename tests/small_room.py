# SPDX-License-Identifier: GPL-3.0-or-later
"""A floor, a cube and three cameras in the open scene of a Blender; the work of a second. Tests import it as `splatonym.tests.small_room`."""

import math

import bpy


def make_small_room():
    scene = bpy.context.scene
    scene.render.resolution_x = scene.render.resolution_y = 32
    scene.render.engine = "CYCLES"
    scene.world = bpy.data.worlds.new("World")
    bpy.ops.mesh.primitive_plane_add(size=6)
    bpy.context.object.name = "Floor"
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0, 0, 0.5))
    bpy.context.object.name = "Cube.047"
    bpy.context.object["semantic_class"] = "chair"
    light = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    scene.collection.objects.link(light)
    for k, angle in enumerate((-40, 0, 40)):
        camera = bpy.data.objects.new(f"Camera {k}", bpy.data.cameras.new(f"Camera {k}"))
        turn = math.radians(angle)
        camera.location = (4 * math.sin(turn), -4 * math.cos(turn), 2.5)
        camera.rotation_euler = (math.radians(65), 0, turn)
        scene.collection.objects.link(camera)
    scene.camera = bpy.data.objects["Camera 1"]
    return scene
