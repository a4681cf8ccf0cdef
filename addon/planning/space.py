# SPDX-License-Identifier: GPL-3.0-or-later
"""Free space: where a person could stand, and what is around a place.

Rays fall through a grid of columns. Where one meets something level with room above for a person, somebody could stand;
neighbours at about the same height with nothing between them are one ground. A ground that is small, or a step above others
around it (a table, a bed), is no floor. A ground is a room where a look a little upwards meets walls nearly all around. So it
does inside a hollow block; but all the walls that are seen there are the inside of one object, and that is no room.

Every length is in proportion to the eye height, so that this one number fits the planner to a scene of any scale.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...core.coverage import spread
from ...core.errors import InvalidInput
from ..jobs import Step
from .surfaces import Surfaces

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.integer]

WHERE = ("AUTO", "INDOORS", "OUTDOORS")
CLEARANCE = 0.2
"""How far cameras keep from surfaces, in eye heights, as all lengths here."""
HEADROOM = 1.1
SPACING = 0.3
STRIDE = 0.2
"""How high a step people take on their way."""
SMALLEST = {"room": 0.4, "field": 4.0, "block": 0.4}
"""Least area of a floor, in squared eye heights: rooms may be as small as 0.9 square metres."""
FEWEST = 4
"""Least number of columns on a floor."""
RAISED = 0.4
"""Share of its edge along which a table, a bed or a roof has lower ground beside it, with nothing between."""
WALLED = 0.7
"""Share of the looks around in a room that end at walls."""
OVER = 1.2
"""How far beyond the floor's edge a camera may hover over furniture."""
WALLS_WITHIN = 20.0
MOST_COLUMNS = 3000
LEVEL = 0.7
"""Least |z| of a floor's normal: 45 degrees."""

_WITHIN = np.array([0.4931, 0.5073])
"""Where in its column a ray falls: not in the middle, lest it slides down a wall in a file where all lengths are round."""
_AROUND = np.deg2rad(np.arange(0, 360, 11.25))
_RING = np.stack([np.cos(_AROUND), np.sin(_AROUND), np.full(len(_AROUND), np.tan(np.deg2rad(5)))], axis=1)


def _ball(count: int) -> Floats:
    """[count, 3] unit vectors, evenly spread (a Fibonacci lattice)."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


ALL_AROUND = _ball(400)
"""Directions in which a place's surroundings are measured: some forty of them lie in a wide-angle picture."""


@dataclass(frozen=True)
class Ground:
    """Where cameras may stand.

    points [K, 3]: on the floor, with free space around a camera at eye height; area: of the floor, in squared scene units;
    indoors: whether it is in rooms; box: lowest and highest corner [3] of the floors, or outdoors of the things.
    """

    points: Floats
    area: float
    indoors: bool
    box: tuple[Floats, Floats]


@dataclass(frozen=True)
class _Cells:
    """Where a person could stand: columns [K, 2] int of the grid, points [K, 3] on the floor, owners [K] of the floor."""

    columns: Numbers
    points: Floats
    owners: Numbers

    def __len__(self) -> int:
        return len(self.points)


def find_ground(surfaces: Surfaces, eye: float, where: str = "AUTO") -> Generator[Step, None, Ground | None]:
    """The floors of the scene's rooms, or where there are none the ground around its things; None where there is no ground.

    eye: eye height in scene units. where: "INDOORS" or "OUTDOORS" decide between the two.
    """
    if where not in WHERE:
        raise InvalidInput(f"There is no place '{where}'.", f"Use one of {', '.join(WHERE)}.")
    low, high = surfaces.box
    while True:
        yield Step("Plan", 0.02, "looking for floors")
        step = max(SPACING * eye, float(np.sqrt(np.prod(high[:2] - low[:2]) / MOST_COLUMNS)))
        cells = _standing(surfaces, low, high, step, eye)
        found = _floors(surfaces, cells, step, eye)
        indoors = where == "INDOORS" or (where == "AUTO" and bool(found["room"]))
        blocks = found["block"] if where == "INDOORS" else []  # who asks for it gets a room that is empty
        floors = found["room"] + blocks if indoors else found["field"]
        kept = floors or found["field"]
        if not kept:
            return None
        box, margin = _worth_seeing(surfaces, cells, np.concatenate(kept), eye, indoors and bool(floors))
        inner = np.maximum(low, box[0] - margin), np.minimum(high, box[1] + margin)
        if np.prod(inner[1][:2] - inner[0][:2]) > 0.6 * np.prod(high[:2] - low[:2]):
            break
        low[:2], high[:2] = inner[0][:2], inner[1][:2]  # once more, on a finer grid
    if not floors:
        return None
    yield Step("Plan", 0.05, "looking for free space")
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in _size(low, high, step)), indexing="ij"), axis=-1).reshape(-1, 2)
    points = np.concatenate([_free(surfaces, cells, floor, grid, low, step, eye) for floor in floors])
    return Ground(points, sum(map(len, floors)) * step**2, indoors, box) if len(points) else None


def raised(points: Floats, height: float) -> Floats:
    """Points [..., 3] moved upwards."""
    return points + np.array([0.0, 0.0, height])


def headroom(surfaces: Surfaces, points: Floats) -> Floats:
    """[N] height of the ceiling over points [N, 3]; inf under the sky."""
    return look(surfaces, points, np.array([[0.0, 0.0, 1.0]]))[0][:, 0]


def look(surfaces: Surfaces, points: Floats, directions: Floats) -> tuple[Floats, Numbers, Mask]:
    """From points [P, 3] along directions [D, 3], what is met first.

    Returns distances [P, D], inf for nothing; the triangles' numbers, -1 for none; whether they are met from behind.
    """
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    shape = (len(points), len(unit))
    distances, numbers, behind = np.full(shape, np.inf), np.full(shape, -1), np.zeros(shape, dtype=bool)
    ways = unit.tolist()
    for row, point in enumerate(points.tolist()):
        for column, way in enumerate(ways):
            _, normal, number, distance = surfaces.tree.ray_cast(point, way)
            if number is not None:
                distances[row, column], numbers[row, column] = distance, number
                behind[row, column] = normal[0] * way[0] + normal[1] * way[1] + normal[2] * way[2] > 0
    return distances, numbers, behind


def _size(low: Floats, high: Floats, step: float) -> list[int]:
    return [max(1, round((b - a) / step)) for a, b in zip(low[:2].tolist(), high[:2].tolist(), strict=True)]


def _standing(surfaces: Surfaces, low: Floats, high: Floats, step: float, eye: float) -> _Cells:
    columns, points, owners = [], [], []
    cast, top, least = surfaces.tree.ray_cast, float(high[2]) + eye, HEADROOM * eye
    below = max(1e-3 * eye, 2e-6 * float(np.abs([low, high]).max()))  # where the next ray begins; the tree has single precision
    wide, deep = _size(low, high, step)
    for i in range(wide):
        for j in range(deep):
            x, y = (low[:2] + (np.array([i, j]) + _WITHIN) * step).tolist()
            z, ceiling = top, np.inf
            while True:
                hit, normal, number, _ = cast((x, y, z), (0.0, 0.0, -1.0))
                if hit is None:
                    break
                if ceiling - hit.z >= least and abs(normal.z) >= LEVEL:
                    columns.append((i, j))
                    points.append(hit[:])
                    owners.append(surfaces.owners[number])
                ceiling, z = hit.z, hit.z - below
    return _Cells(
        np.array(columns, dtype=np.int64).reshape(-1, 2), np.array(points).reshape(-1, 3), np.array(owners, dtype=np.int64)
    )


def _floors(surfaces: Surfaces, cells: _Cells, step: float, eye: float) -> dict[str, list[Numbers]]:
    """The grounds that are large enough, each as places in the cells, by their kinds."""
    found: dict[str, list[Numbers]] = {"room": [], "field": [], "block": []}
    for ground in _grounds(surfaces, cells, step, eye):
        if len(ground) >= FEWEST:
            kind = _kind(surfaces, raised(cells.points[ground], eye), eye)
            if len(ground) * step**2 >= SMALLEST[kind] * eye**2:
                found[kind].append(ground)
    return found


def _grounds(surfaces: Surfaces, cells: _Cells, step: float, eye: float) -> list[Numbers]:
    """Cells that one can walk between, as groups of places in the cells, without tables, roofs and the like."""
    stride = max(STRIDE * eye, LEVEL * min(step, eye))
    upper, lower = np.array(list(_neighbours(cells, stride)), dtype=np.int64).reshape(-1, 2).T
    eyes, points = raised(cells.points, eye), cells.points
    over = np.column_stack([points[lower, :2], eyes[upper, 2]])  # one step on, before one comes down
    open_ = surfaces.open_between(eyes[upper], over) & surfaces.open_between(over, points[lower])
    upper, lower = upper[open_], lower[open_]
    level = points[upper, 2] - points[lower, 2] <= stride
    group = _joined(len(cells), upper[level], lower[level])

    same = group[upper] == group[lower]
    sides = 4 * np.bincount(group, minlength=len(cells)) - 2 * np.bincount(group[upper[same]], minlength=len(cells))
    on_floor = np.bincount(group[upper[~same]], minlength=len(cells)) <= RAISED * sides
    return [np.flatnonzero(group == number) for number in np.unique(group) if on_floor[number]]


def _neighbours(cells: _Cells, stride: float) -> Iterator[tuple[int, int]]:
    """Pairs (upper, lower) of cells side by side: all with a stride or less between them, and else the next one below."""
    in_column = defaultdict(list)
    for number, column in enumerate(map(tuple, cells.columns.tolist())):
        in_column[column].append(number)
    height = cells.points[:, 2].tolist()
    for (i, j), numbers in in_column.items():
        for beside in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            for here in numbers:
                # Cells of a column come from the top down. Of two at the same height, one pair is enough.
                below = [there for there in in_column.get(beside, ()) if (height[there], there) < (height[here], here)]
                yield from ((here, there) for k, there in enumerate(below) if k == 0 or height[here] - height[there] <= stride)


def _joined(count: int, here: Numbers, there: Numbers) -> Numbers:
    """[count] the group of each item, where pairs [E], [E] of items belong together: the lowest number among its items."""
    group = np.arange(count)
    while True:
        lowest = group.copy()
        np.minimum.at(lowest, here, group[there])
        np.minimum.at(lowest, there, group[here])
        lowest = lowest[lowest]  # what the item of this number has found in its turn: goes twice as far each time
        if (lowest == group).all():
            return group
        group = lowest


def _kind(surfaces: Surfaces, eyes: Floats, eye: float) -> str:
    """What a ground is, seen from eye points [K, 3]: "room", "field" without walls, or "block", the inside of an object."""
    some = eyes[spread(eyes, 6)]
    if (look(surfaces, some, _RING)[0] < WALLS_WITHIN * eye).mean() < WALLED:
        return "field"
    _, numbers, behind = look(surfaces, some, ALL_AROUND)
    corners = surfaces.triangles[numbers]
    normals = np.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
    # The floor of a block may be the ground that it stands on, so only what stands upright tells.
    walls = (numbers >= 0) & (np.abs(normals[..., 2]) < LEVEL * np.linalg.norm(normals, axis=-1))
    return "block" if behind[walls].all() and len(np.unique(surfaces.owners[numbers[walls]])) <= 1 else "room"


def _worth_seeing(
    surfaces: Surfaces, cells: _Cells, kept: Numbers, eye: float, indoors: bool
) -> tuple[tuple[Floats, Floats], Floats]:
    """The box of the rooms' floors, or outdoors of the things that nobody stands on; and the margin [3] for places."""
    points, margin = cells.points[kept], np.full(3, eye)
    if not indoors:
        things = surfaces.triangles[~np.isin(surfaces.owners, cells.owners[kept])].reshape(-1, 3)
        if len(things):
            points, margin = things, np.maximum(0.5 * np.ptp(things, axis=0), 3 * eye)
    return (points.min(0), points.max(0)), margin


def _free(
    surfaces: Surfaces,
    cells: _Cells,
    floor: Numbers,
    grid: Numbers,
    low: Floats,
    step: float,
    eye: float,
) -> Floats:
    """Points [K, 3] of a floor over which a camera at eye height is free, or beside it, hovering over furniture."""
    own = cells.points[floor]
    taken = {tuple(column) for column in cells.columns[floor].tolist()}
    others = np.array([column for column in grid.tolist() if tuple(column) not in taken], dtype=np.int64).reshape(-1, 2)
    beside = low[:2] + (others + _WITHIN) * step
    nearest = np.array([np.square(own[:, :2] - point).sum(1).argmin() for point in beside], dtype=np.int64)
    close = np.linalg.norm(own[nearest, :2] - beside, axis=1) <= OVER * eye
    beside, nearest = beside[close], nearest[close]
    over = np.column_stack([beside, own[nearest, 2]])
    over = over[surfaces.open_between(raised(own[nearest], eye), raised(over, eye))]
    points = np.concatenate([own, over])
    return points[surfaces.is_clear(raised(points, eye), CLEARANCE * eye)]
