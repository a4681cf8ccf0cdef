# SPDX-License-Identifier: GPL-3.0-or-later
"""Which object a pixel shows, and what that object is.

Objects are told apart by Blender's own Cryptomatte pass, which stores for each pixel a hash of the object's name (the
MurmurHash3 of its UTF-8 bytes as a float: Friedman and Jones, "Fully automatic ID mattes", 2015). A pass index would do the
same, but it would have to be written into every object of the file, and put back, and it ends at 32767.

What is instanced (collections, particles, geometry nodes) has the name of the object that is instanced: its copies share a
number.

The class of an object is, in this order: its custom property `semantic_class`, that of the nearest collection above it, its
name matched against the label set, else "unlabelled".
"""

from __future__ import annotations

from collections import defaultdict

import bpy
import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidInput
from ...core.labels import UNLABELLED, LabelMap
from ...core.views import Instance

CLASS_PROPERTY = "semantic_class"
SURFACES = frozenset({"MESH", "CURVE", "SURFACE", "META", "FONT", "CURVES", "POINTCLOUD", "VOLUME"})


class InstanceTable:
    """The file's objects with surfaces, numbered from 1 in the order of their names, so that two captures of a file agree.

    Objects that nothing uses are not counted: they are gone once the file is saved and opened.
    """

    def __init__(self, scene: bpy.types.Scene, labels: LabelMap) -> None:
        everywhere = {o.name: o for o in bpy.data.objects if o.type in SURFACES and o.users}
        self._objects = everywhere | {o.name: o for o in scene.objects if o.type in SURFACES}
        self._names = sorted(self._objects)
        hashes = np.array([cryptomatte_hash(name) for name in self._names], dtype=np.uint32)
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        self._numbers = (order + 1).astype(np.int32)
        self._base_labels = labels
        self._collections = collection_parents()
        self.seen: dict[int, Instance] = {}

    @property
    def labels(self) -> LabelMap:
        """The label set, with the names that only custom properties gave appended."""
        return self._base_labels.with_names(sorted({instance.class_name for instance in self.seen.values()}))

    def numbers(self, cryptomatte: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """Hashes of a render [H, W] float32 -> instance numbers [H, W] int32, 0 for nothing; notes who was seen."""
        found, where = np.unique(np.ascontiguousarray(cryptomatte).view(np.uint32), return_inverse=True)
        numbers = np.zeros(len(found), dtype=np.int32)
        if len(self._hashes):
            place = np.searchsorted(self._hashes, found).clip(max=len(self._hashes) - 1)
            numbers = np.where(self._hashes[place] == found, self._numbers[place], 0).astype(np.int32)
        for number in set(numbers.tolist()) - {0} - self.seen.keys():
            thing = self._objects[self._names[number - 1]]
            self.seen[number] = Instance(number, thing.name, class_of(thing, self._base_labels, self._collections))
        return numbers[where].reshape(cryptomatte.shape)


def class_of(
    thing: bpy.types.Object, labels: LabelMap, parents: dict[bpy.types.Collection, list[bpy.types.Collection]] | None = None
) -> str:
    """The name of an object's class; `parents` is `collection_parents()`, for those who ask often."""
    own = _property_class(thing, labels)
    if own:
        return own
    parents = collection_parents() if parents is None else parents
    level, visited = list(thing.users_collection), set()
    while level:
        # Of collections equally near, the first by name decides: any order would do, but it must be one.
        for collection in sorted(level, key=lambda c: c.name):
            if name := _property_class(collection, labels):
                return name
        visited.update(level)
        level = [above for collection in level for above in parents.get(collection, []) if above not in visited]
    return labels.match(thing.name) or UNLABELLED


def collection_parents() -> dict[bpy.types.Collection, list[bpy.types.Collection]]:
    """The collections that hold each collection, scenes' own collections among them."""
    parents = defaultdict(list)
    for collection in [*bpy.data.collections, *(scene.collection for scene in bpy.data.scenes)]:
        for child in collection.children:
            parents[child].append(collection)
    return dict(parents)


def _property_class(owner: bpy.types.ID, labels: LabelMap) -> str:
    """What `semantic_class` says, spelled as the label set spells it; "" where it says nothing."""
    value = owner.get(CLASS_PROPERTY, "")
    if not isinstance(value, str):
        raise InvalidInput(
            f"The custom property {CLASS_PROPERTY} of '{owner.name}' is {value!r}, not a text.", "Write the class's name."
        )
    value = " ".join(value.split())
    return next((name for name in labels.names if name.casefold() == value.casefold()), value)


def cryptomatte_hash(name: str) -> int:
    """The bits of the float that Cryptomatte stores for a name."""
    value = murmur3(name.encode("utf-8"))
    exponent = min(max(value >> 23 & 0xFF, 1), 254)  # neither denormal nor infinite
    return value & 0x807FFFFF | exponent << 23


def murmur3(data: bytes) -> int:
    """MurmurHash3 x86 32-bit with seed 0 (Austin Appleby, public domain)."""
    value = 0
    for start in range(0, len(data), 4):
        chunk = data[start : start + 4]
        k = int.from_bytes(chunk, "little") * 0xCC9E2D51 & 0xFFFFFFFF
        k = (k << 15 | k >> 17) * 0x1B873593 & 0xFFFFFFFF
        value ^= k
        if len(chunk) == 4:
            value = ((value << 13 | value >> 19) & 0xFFFFFFFF) * 5 + 0xE6546B64 & 0xFFFFFFFF
    value ^= len(data)
    value = (value ^ value >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    value = (value ^ value >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return value ^ value >> 16
