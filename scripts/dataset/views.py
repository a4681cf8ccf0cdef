# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the views of a room. Needs no Blender: `render_geometry(pose)` gives depth and instance numbers of a pose.

A view is refused if it is up against furniture or shows next to nothing; neighbours on the arc must see much of the same.
"""

import math

import numpy as np

RARE = {"sofa", "bed", "sink", "toilet", "bathtub", "tv", "picture", "small_object", "appliance", "curtain"}
ARC_OVERLAP, WIDE_OVERLAP = 0.35, 0.2


def look_at(eye, target, roll=0.0):
    """The pose of a camera at `eye` that looks at `target`, turned by `roll` about its axis."""
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    c, s = math.cos(roll), math.sin(roll)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = c * right + s * up, c * up - s * right, -forward, eye
    return pose


def standable(room, x, y, z):
    """May a camera be here: inside the room, not in or right over furniture, not at the lamp?"""
    if not (0.25 < x < room.size[0] - 0.25 and 0.25 < y < room.size[1] - 0.25):
        return False
    if room.lamp is not None and math.dist((x, y), room.lamp) < 0.8:
        return False
    for X, Y, HX, HY, top in room.boxes:
        margin = 0.4 if top > z - 0.3 else 0.15
        if abs(x - X) < HX + margin and abs(y - Y) < HY + margin and z < top + 0.35:
            return False
    return True


def acceptable(classes, depth, instance):
    """Does a view show something: not up against furniture, at least four classes, no hole? `classes`: name by instance."""
    if (depth == 0).mean() > 0.05 or ((depth > 0) & (depth < 0.6)).mean() > 0.25 or np.median(depth) < 1.4:
        return False
    numbers, counts = np.unique(instance, return_counts=True)
    pixels = {}
    for n, c in zip(numbers, counts, strict=True):
        if n:
            pixels[classes[int(n)]] = pixels.get(classes[int(n)], 0) + c
    bare = pixels.get("wall", 0) + pixels.get("floor", 0) + pixels.get("ceiling", 0)
    biggest = max([c for cls, c in pixels.items() if cls not in ("wall", "floor", "ceiling")], default=0)
    several = sum(c > instance.size / 1000 for c in pixels.values()) >= 4
    return several and bare < 0.88 * instance.size and biggest < 0.45 * instance.size


def lift(depth, pose, focal):
    """The points in the room, [h, w, 4] homogeneous, that the pixels of a view see."""
    h, w = depth.shape
    v, u = np.mgrid[:h, :w] + 0.5
    local = np.stack([(u - w / 2) / focal * depth, -(v - h / 2) / focal * depth, -depth, np.ones_like(depth)], -1)
    return local @ pose.T


def overlap(view, other, focal):
    """Part of `view`'s pixels that `other` sees too; a view is (pose, depth, instance)."""
    there = lift(view[1], view[0], focal) @ np.linalg.inv(other[0]).T
    h, w = view[1].shape
    z = np.where(np.abs(there[..., 2]) > 1e-6, -there[..., 2], 1e-6)
    x, y = there[..., 0] / z * focal + w / 2, -there[..., 1] / z * focal + h / 2
    inside = (view[1] > 0) & (z > 0.02) & (x >= 0) & (x < w) & (y >= 0) & (y < h)
    seen = other[1][y[inside].astype(int), x[inside].astype(int)]
    return (np.abs(seen - z[inside]) < 0.05 * z[inside]).sum() / view[1].size


def arc(room, rng, height, count):
    """`count` poses around a point of the room, or None; all of them stand free."""
    W, D, _ = room.size
    boxes = room.boxes or [(W / 2, D / 2, 0, 0, 0)]
    middle = [sum(b[k] for b in boxes) / len(boxes) for k in (0, 1)]
    pull = 0.4
    if room.focus and rng.random() < 0.6:  # turn to something of a rare class
        middle, pull = rng.choice(room.focus), 0.55
    tx, ty = (m * pull + s / 2 * (1 - pull) + rng.uniform(-0.4, 0.4) for m, s in zip(middle, (W, D), strict=True))
    start, span = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(50, 110))
    reach = rng.uniform(1.1, 3)
    poses, wave = [], rng.uniform(0, 2 * math.pi)
    for k in range(count):
        angle = start + span * k / max(count - 1, 1)
        c, s = math.cos(angle), math.sin(angle)
        edge = min(
            ((W if c > 0 else 0) - tx) / c if abs(c) > 1e-3 else 99, ((D if s > 0 else 0) - ty) / s if abs(s) > 1e-3 else 99
        )
        r = min(reach, edge - 0.35)
        z = min(max(height + 0.2 * math.sin(wave + 5 * k / count), 0.9), 1.8)
        eye = (tx + r * c, ty + r * s, z)
        if r < 0.8 or not standable(room, *eye):
            return None
        # look past the target so that the far side of the room fills the view
        down = rng.uniform(0.25, 0.4) + 0.15 * (z - 0.9)
        aim = (tx - 0.3 * r * c + rng.gauss(0, 0.06), ty - 0.3 * r * s + rng.gauss(0, 0.06), z - down)
        poses.append(look_at(eye, aim, rng.gauss(0, 0.02)))
    return poses


def choose_views(room, render_geometry, focal, rng, counts=(6, 2), arcs=6):
    """Views of an arc and some far from it, as (role, pose, depth, instance); None if no luck."""
    on_arc, wide_count = counts
    classes = {n: item["class"] for n, item in room.instances.items()}
    candidates = []
    for _ in range(600):
        poses = arc(room, rng, rng.uniform(1.0, 1.7), on_arc)
        if poses:
            spread = np.linalg.norm(poses[0][:3, 3] - poses[-1][:3, 3])
            candidates.append((spread + rng.random(), poses))
    candidates.sort(key=lambda c: -c[0])
    for _, poses in candidates[:arcs]:
        views = []
        for pose in poses:
            view = (pose, *render_geometry(pose))
            if not acceptable(classes, *view[1:]) or (views and overlap(views[-1], view, focal) < ARC_OVERLAP):
                break
            views.append(view)
        if len(views) < on_arc:
            continue
        wide = wide_views(room, render_geometry, focal, rng, views, wide_count, classes)
        if len(wide) == wide_count:
            return [("arc", *v) for v in views] + [("wide", *v) for v in wide]
    return None


def wide_views(room, render_geometry, focal, rng, views, count, classes, tries=10):
    """Views from elsewhere in the room that still share a good part of what the arc sees."""
    W, D, _ = room.size
    eyes = [v[0][:3, 3] for v in views]
    rare = [n for n, cls in classes.items() if cls in RARE]
    found = []
    for _ in range(400):
        if len(found) == count or tries <= 0:
            break
        eye = np.array([rng.uniform(0.3, W - 0.3), rng.uniform(0.3, D - 0.3), rng.uniform(0.9, 1.8)])
        far = min(np.linalg.norm(e - eye) for e in [*eyes, *(f[0][:3, 3] for f in found)])
        if far < 0.2 * (W + D) / 2 + 0.35 or not standable(room, *eye):
            continue
        # aim at a point that a view of the arc sees, often one of a rare class
        pose, depth, instance = rng.choice(views)
        h, w = depth.shape
        v, u = rng.randrange(2 * h // 5, 4 * h // 5), rng.randrange(w // 4, 3 * w // 4)
        if rng.random() < 0.5:
            spots = np.argwhere(np.isin(instance, rare))
            if len(spots):
                v, u = spots[rng.randrange(len(spots))]
        aim = lift(depth, pose, focal)[v, u, :3]
        if np.linalg.norm(aim - eye) < 1.6 or abs(aim[2] - eye[2]) > 0.45 * np.linalg.norm(aim - eye):
            continue
        tries -= 1
        pose = look_at(tuple(eye), tuple(aim), rng.gauss(0, 0.02))
        view = (pose, *render_geometry(pose))
        if acceptable(classes, *view[1:]) and max(overlap(view, v, focal) for v in views) > WIDE_OVERLAP:
            found.append(view)
    return found
