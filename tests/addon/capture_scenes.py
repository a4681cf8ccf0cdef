# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene of known surfaces, for the tests of addon/capture: a box of 6 units seen from inside, and a cube of 1 in it."""

import bpy
import numpy as np
from splatonym.addon.capture import CaptureSettings

ROOM, CUBE = 3.0, 0.5
"""Half the side of each."""
TINY = CaptureSettings(width=40, height=32, samples=1, engine="CYCLES", denoise=False)
RED, GREEN = (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0)


def shining(name, colour):
    """A material of one colour, whatever the light; Workbench shows it too."""
    material = bpy.data.materials.new(name)
    if bpy.app.version < (5, 0):
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    emission, output = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeOutputMaterial")
    emission.inputs["Color"].default_value = colour
    tree.links.new(emission.outputs[0], output.inputs["Surface"])
    material.diffuse_color = colour
    return material


def box(name, half, colour=None, at=(0, 0, 0), collection=None):
    corners = [(x, y, z) for x in (-half, half) for y in (-half, half) for z in (-half, half)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], faces)
    if colour is not None:
        mesh.materials.append(shining(name, colour))
    thing = bpy.data.objects.new(name, mesh)
    thing.location = at
    (collection or bpy.context.scene.collection).objects.link(thing)
    return thing


def camera(name="Camera", at=(1.5, -2.0, 1.0), turn=(1.2, 0.1, 0.6), **lens):
    data = bpy.data.cameras.new(name)
    for key, value in lens.items():
        setattr(data, key, value)
    thing = bpy.data.objects.new(name, data)
    thing.location, thing.rotation_euler = at, turn
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.scene.camera = bpy.context.scene.camera or thing
    return thing


def room(**lens):
    """The box, red, the cube, green, and a camera."""
    box("Room", ROOM, RED)
    box("Cube", CUBE, GREEN, at=(0.2, 0.1, -0.3))
    scene = bpy.context.scene
    scene.display.shading.light, scene.display.shading.color_type = "FLAT", "MATERIAL"
    seen = camera(**lens)
    bpy.context.view_layer.update()
    return seen


def distances(view, captured):
    """[H, W] distance of each unprojected pixel from the surface of the thing that the instance map says is there."""
    points = view.camera.unproject(view.depth.astype(np.float64))
    names = {number: thing.name for number, thing in captured.instances.items()}
    number_of = {name: number for number, name in names.items()}
    out = np.abs(np.abs(points).max(-1) - ROOM)
    if "Cube" in number_of:
        cube = np.abs(np.abs(points - [0.2, 0.1, -0.3]).max(-1) - CUBE)
        out = np.where(view.index == number_of["Cube"], cube, out)
    return out
