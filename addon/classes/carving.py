# SPDX-License-Identifier: GPL-3.0-or-later
"""Points taken out of point objects, with all their attributes, those of other add-ons as well.

Blender has no call that removes points of a point cloud outside edit mode, so what stays and what goes are written anew.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidInput
from ..build import attributes
from ..build.points import cloud_steps, find_cloud, half_made

Mask = npt.NDArray[np.bool_]
_FORMS: dict[str, tuple[str, int, type[np.generic]]] = {
    "FLOAT": ("value", 1, np.float32), "INT": ("value", 1, np.int32), "BOOLEAN": ("value", 1, np.bool_), "INT8": ("value", 1, np.int32),
    "FLOAT_VECTOR": ("vector", 3, np.float32), "FLOAT2": ("vector", 2, np.float32), "FLOAT4": ("vector", 4, np.float32),
    "FLOAT_COLOR": ("color", 4, np.float32), "BYTE_COLOR": ("color", 4, np.float32), "QUATERNION": ("value", 4, np.float32),
    "INT32_2D": ("value", 2, np.int32), "FLOAT4X4": ("value", 16, np.float32),
}  # fmt: skip
"""How each type of attribute is read and written at once; the others (texts) are left out."""
_OURS = ("FLOAT", "INT", "BOOLEAN", "FLOAT_VECTOR", "FLOAT4", "QUATERNION")
"""Types that addon.build writes."""


def carve(item: bpy.types.Object, rows: Mask) -> bpy.types.Object:
    """A new object like this one with some of its points, which it loses. It is in no collection yet."""
    part = item.copy()  # modifiers, transform, colour and custom properties, too
    _give(part, rows)
    keep(item, ~rows)
    return part


def keep(item: bpy.types.Object, rows: Mask) -> None:
    """Leave an object only some of its points."""
    old = item.data
    title = old.name
    _give(item, rows)
    if old.users == 0:
        bpy.data.batch_remove([old])
        item.data.name = title


def _give(item: bpy.types.Object, rows: Mask) -> None:
    """Give an object points of its own: some of those that it has."""
    data = item.data
    places = np.flatnonzero(rows)
    table = {
        name: (kind, np.ascontiguousarray(np.take(column, places, axis=0))) for name, (kind, column) in _read(data).items()
    }
    ours = {name: column for name, column in table.items() if column[0] in _OURS}
    if isinstance(data, bpy.types.Mesh):
        item.data = _mesh(data, ours)
    else:
        with half_made() as names:
            for _ in cloud_steps([ours], names):
                pass
            item.data = find_cloud(names[0])
    item.data.name = data.name
    for name, (kind, column) in table.items():
        if name not in ours:
            made = item.data.attributes.get(name) or item.data.attributes.new(name, kind, "POINT")
            made.data.foreach_set(_FORMS[kind][0], column.reshape(-1))
    for material in data.materials:
        item.data.materials.append(material)


def _read(data: bpy.types.ID) -> dict[str, tuple[str, npt.NDArray[Any]]]:
    """All point attributes that can be read at once."""
    table: dict[str, tuple[str, npt.NDArray[Any]]] = {}
    number = attributes.count(data)
    for attribute in data.attributes:
        form = _FORMS.get(attribute.data_type)
        if attribute.domain != "POINT" or form is None or attribute.name.startswith("."):
            continue
        key, width, dtype = form
        column = np.empty(number * width, dtype)
        attribute.data.foreach_get(key, column)
        table[attribute.name] = (attribute.data_type, column.reshape(number, width) if width > 1 else column)
    if "radius" not in table:
        table["radius"] = ("FLOAT", np.full(number, 0.01, np.float32))
    return table


def _mesh(data: bpy.types.Mesh, table: attributes.Table) -> bpy.types.Mesh:
    if len(data.edges) or len(data.polygons):
        raise InvalidInput(
            f"'{data.name}' is a mesh with edges or faces, so its points cannot be taken apart.", "Undo the conversion."
        )
    new = bpy.data.meshes.new(data.name)
    new.vertices.add(len(table["position"][1]))
    attributes.write(new, table)
    return new
