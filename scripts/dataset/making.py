# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes rooms one after the other: build, choose views, render, write. Needs Blender."""

import math
import random
import tempfile
import time
from pathlib import Path

from . import folders, render, room, taxonomy, views
from .assets import Assets


def make(options):
    """Make the rooms of `options.seeds` that are not there yet; `options` is what the command line says."""
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  the system's folder in memory, where there is one
    with tempfile.TemporaryDirectory(dir=memory) as work:
        assets = Assets(options.furniture, options.jar, work)
        (out / "ATTRIBUTION.txt").write_text(taxonomy.attribution(assets.models), encoding="utf-8")
        for seed in range(options.seeds[0], options.seeds[1], options.step):
            if options.stop_file and Path(options.stop_file).exists():
                print(f"{options.stop_file} is there: stopped before room {seed}", flush=True)
                break
            if options.split not in ("both", taxonomy.split_of(seed)) or (out / folders.name_of(seed)).exists():
                continue
            print(make_one(assets, out, seed, options, work), flush=True)


def make_one(assets, out, seed, options, work):
    """Make one room; returns a line for the log."""
    start = time.monotonic()
    split = taxonomy.split_of(seed)
    made = room.Room(assets, seed, split)
    rng = random.Random(f"views {seed}")  # noqa: S311
    renderer = render.Renderer(options.size, math.radians(rng.uniform(50, 85)), options.samples, work)
    built = time.monotonic()
    found = views.choose_views(made, renderer.geometry, renderer.focal, rng, (options.arc, options.wide))
    if found is None:
        return f"room {seed} {made.kind}: no good views, {time.monotonic() - start:.1f} s"
    chosen = time.monotonic()
    colours = render.develop([renderer.colour(v[1]) for v in found])
    done = time.monotonic()
    folders.write(out, seed, split, made, (renderer.size, renderer.focal), found, colours, taxonomy.CLASSES)
    end = time.monotonic()
    return (
        f"room {seed} {split} {made.kind}: {len(made.instances)} instances, build {built - start:.2f} s, "
        f"choose {chosen - built:.2f} s, colour {done - chosen:.2f} s, write {end - done:.2f} s, "
        f"{(end - start) / len(found):.2f} s/view"
    )
