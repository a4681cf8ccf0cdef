# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what the person has changed but not keyed while a script renders.

After a render that a script asked for, Blender evaluates every scene's animation anew. Values that follow their curves come
out as they were; a pose that is not keyed yet would fall back. So those values are noted before and written again after.
Actions are looked at; enumerations, and what only NLA strips animate, are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy


@dataclass(frozen=True)
class Unkeyed:
    """An animated value that differs from its curve."""

    owner: bpy.types.ID
    path: str
    place: int
    value: float | int | bool

    def restore(self) -> None:
        if self.place >= 0:
            self.owner.path_resolve(self.path)[self.place] = self.value
        elif self.path.endswith('"]'):  # a custom property
            head, _, key = self.path.removesuffix('"]').rpartition('["')
            (self.owner.path_resolve(head) if head else self.owner)[key] = self.value
        else:
            head, _, name = self.path.rpartition(".")
            setattr(self.owner.path_resolve(head) if head else self.owner, name, self.value)


@contextmanager
def unkeyed_kept(scene: bpy.types.Scene, layer: bpy.types.ViewLayer) -> Iterator[None]:
    """Around renders: afterwards `layer` of `scene`, the person's own, is evaluated with unkeyed values as they were."""
    found = list(find_unkeyed(scene.frame_current_final))
    try:
        yield
    finally:
        if found:
            layer.update()  # now, and not when Blender comes to it
            for value in found:
                value.restore()
            layer.update()


def find_unkeyed(frame: float) -> Iterator[Unkeyed]:
    """All values of the file that an action animates and that differ from the curve at a frame."""
    for owner in _animated():
        for curve in _curves(owner.animation_data):
            value, place = _value(owner, curve)
            if isinstance(value, (bool, int)):
                differs = abs(value - curve.evaluate(frame)) >= 1
            else:
                differs = isinstance(value, float) and abs(value - curve.evaluate(frame)) > 1e-6 * max(abs(value), 1.0)
            if differs:
                yield Unkeyed(owner, curve.data_path, place, value)


def _animated() -> Iterator[bpy.types.ID]:
    """All datablocks with an action, node trees inside others among them."""
    kinds = [prop.identifier for prop in bpy.data.bl_rna.properties if prop.type == "COLLECTION"]
    blocks = dict.fromkeys(block for kind in kinds for block in getattr(bpy.data, kind))  # 5.2 also lists all in one kind
    for block in blocks:
        for owner in (block, getattr(block, "node_tree", None)):
            animation = getattr(owner, "animation_data", None)
            if animation is not None and animation.action is not None and animation.action_influence > 0:
                yield owner


def _curves(animation: bpy.types.AnimData) -> Iterator[bpy.types.FCurve]:
    """The curves that are in force; from 4.4 on an action holds those of several datablocks, in slots."""
    action = animation.action
    if hasattr(animation, "action_slot"):
        if animation.action_slot is None:
            return
        bags = [strip.channelbag(animation.action_slot) for layer in action.layers for strip in layer.strips]
        curves = [curve for bag in bags if bag is not None for curve in bag.fcurves]
    else:
        curves = list(action.fcurves)
    yield from (curve for curve in curves if not curve.mute)


def _value(owner: bpy.types.ID, curve: bpy.types.FCurve) -> tuple[Any, int]:
    """What the property is now, and its place in an array or -1; None where the curve leads nowhere."""
    try:
        value = owner.path_resolve(curve.data_path)
    except ValueError:
        return None, -1
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value, -1
    return (value[curve.array_index], curve.array_index) if curve.array_index < len(value) else (None, -1)
