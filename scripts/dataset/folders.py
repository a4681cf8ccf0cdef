# SPDX-License-Identifier: GPL-3.0-or-later
"""A room's folder: written whole or not at all, read, checked, drawn and packed. Needs only numpy and Pillow."""

import itertools
import json
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from .views import lift


def name_of(seed):
    """The folder's name."""
    return f"room_{seed:05d}"


def write(out, seed, split, room, camera, views, colours, classes):
    """Write one room's folder; it appears under its name only once it is complete. `camera` is (size, focal length)."""
    folder = out / f".{name_of(seed)}.{os.getpid()}"
    folder.mkdir()
    frames = []
    for k, ((role, pose, depth, instance), rgb) in enumerate(zip(views, colours, strict=True)):
        Image.fromarray(rgb).save(folder / f"rgb_{k:02d}.jpg", quality=95)
        Image.fromarray(np.rint(depth * 1000).astype(np.uint16)).save(folder / f"depth_{k:02d}.png")
        Image.fromarray(instance.astype(np.uint16)).save(folder / f"instance_{k:02d}.png")
        frames.append(
            {
                "file_path": f"rgb_{k:02d}.jpg",
                "depth_file_path": f"depth_{k:02d}.png",
                "instance_path": f"instance_{k:02d}.png",
                "role": role,
                "transform_matrix": np.round(pose, 7).tolist(),
            }
        )
    size, focal = camera
    intrinsics = {"w": size, "h": size, "fl_x": focal, "fl_y": focal, "cx": size / 2, "cy": size / 2}
    transforms = {"camera_model": "OPENCV", **intrinsics, "depth_unit_scale_factor": 0.001, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(transforms, indent=1))
    labels = {
        "split": split,
        "kind": room.kind,
        "size": [round(s, 3) for s in room.size],
        "classes": classes,
        "instances": room.instances,
    }
    (folder / "labels.json").write_text(json.dumps(labels, indent=1, ensure_ascii=False), encoding="utf-8")
    if (out / name_of(seed)).exists():  # another process was faster
        shutil.rmtree(folder)
    else:
        folder.rename(out / name_of(seed))


def read(folder):
    """A room as (transforms, labels, [(rgb, depth in metres, instance, class), ...])."""
    transforms = json.loads((folder / "transforms.json").read_text())
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    index = {c: i for i, c in enumerate(labels["classes"])}
    table = np.zeros(max(map(int, labels["instances"])) + 1, np.uint8)
    for number, item in labels["instances"].items():
        table[int(number)] = index[item["class"]]
    views = []
    for f in transforms["frames"]:
        rgb = np.asarray(Image.open(folder / f["file_path"]))
        depth = np.asarray(Image.open(folder / f["depth_file_path"])).astype(np.float32) / 1000
        instance = np.asarray(Image.open(folder / f["instance_path"])).astype(np.int32)
        views.append((rgb, depth, instance, table[instance]))
    return transforms, labels, views


def sheet(folders, out, rgb_only=False, columns=1):
    """A contact sheet: each room's views, as colour, depth and class colours below each other."""
    palette = np.random.RandomState(3).randint(40, 255, (64, 3)).astype(np.uint8)
    palette[0] = 0
    blocks = []
    for folder in folders:
        _, _, views = read(folder)
        rows = [np.concatenate([v[0] for v in views], 1)]
        if not rgb_only:
            grey = [(255 * (1 - np.clip(v[1] / 7, 0, 1))).astype(np.uint8) for v in views]
            rows.append(np.concatenate([np.repeat(g[..., None], 3, 2) for g in grey], 1))
            rows.append(np.concatenate([palette[v[3]] for v in views], 1))
        blocks.append(np.concatenate(rows))
    lines = [np.concatenate(blocks[k : k + columns], 1) for k in range(0, len(blocks) - columns + 1, columns)]
    Image.fromarray(np.concatenate(lines)).save(out)


def compare(a, b, pose_a, pose_b, focal, step=0.03):
    """Carry view a into view b.

    Returns the numbers of pixels that fall inside b, that are hidden there by something nearer, that agree within `step`
    metres, that agree and carry the same instance, and that come out nearer than the surface seen.
    """
    depth = a[1].astype(np.float64)
    h, w = depth.shape
    there = lift(depth, pose_a, focal) @ np.linalg.inv(pose_b).T
    z = -there[..., 2]
    ok = (depth > 0) & (z > 0.05)
    x = there[..., 0] / np.where(ok, z, 1) * focal + w / 2 - 0.5
    y = -there[..., 1] / np.where(ok, z, 1) * focal + h / 2 - 0.5
    ok &= (x >= 0) & (x < w - 1) & (y >= 0) & (y < h - 1)
    x, y, z, label = x[ok], y[ok], z[ok], a[2][ok]
    j, i = x.astype(int), y.astype(int)
    fx, fy = x - j, y - i
    spots = [(0, 0), (0, 1), (1, 0), (1, 1)]
    four = [b[2][i + di, j + dj] for di, dj in spots]
    whole = (four[0] == four[1]) & (four[0] == four[2]) & (four[0] == four[3])  # not at an edge
    inverse = [1 / np.maximum(b[1][i + di, j + dj], 1e-3) for di, dj in spots]  # 1 / depth is linear on a plane
    weight = [(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]
    seen = 1 / sum(v * k for v, k in zip(inverse, weight, strict=True))
    gap = (z - seen)[whole]
    close = np.abs(gap) < step
    same = close & (label == four[0])[whole]
    return np.array([whole.sum(), (gap > step).sum(), close.sum(), same.sum(), (gap < -step).sum()])


def pairs_of(roles):
    """Which views `check` compares, by kind: neighbours on the arc, four apart on it, a wide one with the arc."""
    on_arc = [k for k, role in enumerate(roles) if role == "arc"]
    wide = [k for k, role in enumerate(roles) if role == "wide"]
    return {
        "arc, next": list(itertools.pairwise(on_arc)),
        "arc, 4 apart": list(zip(on_arc, on_arc[4:], strict=False)),
        "wide": [(on_arc[len(on_arc) // 2], k) for k in wide],
    }


def check(folders):
    """Print the agreement of depth and labels between views, and how often each class occurs."""
    total, pixels, models, names = {}, 0, {}, []
    for folder in folders:
        transforms, labels, views = read(folder)
        names = labels["classes"]
        poses = [np.array(f["transform_matrix"]) for f in transforms["frames"]]
        for kind, pairs in pairs_of([f["role"] for f in transforms["frames"]]).items():
            for a, b in pairs:
                found = compare(views[a], views[b], poses[a], poses[b], transforms["fl_x"])
                total[kind] = total.get(kind, 0) + found
        pixels = pixels + sum(np.bincount(v[3].ravel(), minlength=len(names)) for v in views)
        for item in labels["instances"].values():
            known = models.setdefault(item["class"], {})
            key = item["model"] or item["name"]
            known[key] = known.get(key, 0) + 1
    print(f"{len(folders)} rooms")
    for kind, (inside, hidden, close, same, through) in total.items():
        print(
            f"{kind}: of pixels falling inside (edges left out) {close / inside:.1%} within 3 cm, "
            f"{hidden / inside:.1%} hidden by something nearer, {through / inside:.2%} nearer than the surface seen; "
            f"of the visible {close / (inside - hidden):.2%} within 3 cm, labels agree {same / close:.2%}"
        )
    for k, c in enumerate(names):
        known = models.get(c, {})
        print(
            f"{k:2d}  {c:13} {pixels[k] / pixels.sum():7.2%} of pixels, {sum(known.values()):6d} instances, {len(known):3d} models"
        )


def pack(folders, out, shard_mb=40.0):
    """Tar shards of at most `shard_mb`, train and val apart."""
    out.mkdir(parents=True, exist_ok=True)
    rooms = {"train": [], "val": []}
    for folder in folders:
        rooms[json.loads((folder / "labels.json").read_text(encoding="utf-8"))["split"]].append(folder)
    for split, of_split in rooms.items():
        shard, tar = 0, None
        for folder in of_split:
            files = sorted(folder.iterdir())
            need = sum(-(-f.stat().st_size // 512) * 512 + 512 for f in files)
            if tar is None or tar.offset + need > shard_mb * 1e6 - 20480:
                if tar:
                    tar.close()
                tar = tarfile.open(out / f"rooms_{split}_{shard:02d}.tar", "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115  closed below
                shard += 1
            for f in files:
                info = tarfile.TarInfo(f"{folder.name}/{f.name}")
                info.size, info.mode = f.stat().st_size, 0o644
                with f.open("rb") as stream:
                    tar.addfile(info, stream)
        if tar:
            tar.close()
        print(f"{split}: {len(of_split)} rooms in {shard} shards")


def list_rooms(parent, first=0, count=0):
    """The complete rooms of a folder, in the order of their seeds."""
    return sorted(Path(parent).glob("room_*"))[first:][: count or None]
