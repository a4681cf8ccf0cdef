# SPDX-License-Identifier: GPL-3.0-or-later
"""Open vocabulary, step by step: what a view costs once, and what a scene of so many Gaussians costs to describe, to name and to ask.

Views of a box room, or those of a capture (--room). Its Gaussians come from depth and are drawn again, moved a little, to the sizes asked for.
A view's features do not depend on them and are measured once, with the model given and with a ViT-B-16 whose weights are random: they
cost the same. Regions of the scenes are told random vectors, as only time is asked for.

codebook: from things to words, pairs and instances. relabel, query: without the texts ("texts": what a question's cost that was asked before).
scene_mb: the folder; words_mb: of that what open vocabulary adds; bytes: a Gaussian in memory. Each case has a process of its own, and so its
own peak; figures are medians after a first run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from splatonym.server.pipeline import peak_memory_mb
from splatonym.server.rasterize import choice

from .semantics_cases import features, scene

COLUMNS = {
    "gaussians": 10, "register": 9, "join": 7, "codebook": 9, "relabel": 8, "query": 7, "save": 6, "load": 6, "scene_mb": 9, "words_mb": 9,
    "bytes": 6, "regions": 8, "things": 7, "peak_mb": 8,
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="tiny", help="vision-language model (default: %(default)s)")
    parser.add_argument("--room", help="a capture with depth, in place of the box room")
    parser.add_argument("--sizes", nargs="+", type=int, default=[100_000, 1_000_000], help="Gaussians (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=choice.physical_cores(), help="of torch and the rasterizer")
    parser.add_argument("--case", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.case:
        torch.set_num_threads(args.threads)
        choice.configure(choice.RasterizerChoice(threads=args.threads))
        figures = features(args) if args.case == "features" else scene(args, int(args.case))
        return {**figures, "peak_mb": peak_memory_mb() or 0.0}
    versions = f"numpy {np.__version__}, torch {torch.__version__}, open_clip {open_clip.__version__}"
    rasterizer = choice.describe(choice.choose())
    print(f"rasterizer {rasterizer['backend']} on {rasterizer['device']}; {versions}, {args.threads} threads", flush=True)
    one = apart(args, "features")
    print(
        f"{one['views']} views of {one['pixels']}; seconds a view: {one['regions_s']:.2f} for {one['regions']:.0f} regions",
        end="",
    )
    print("".join(f", {s:.2f} to describe them with {name} ({one['device']})" for name, s in one["describe_s"].items()), end="")
    print(f"; texts {1e3 * one['texts_s']:.0f} ms; peak {one['peak_mb']:.0f} MB\nseconds (register: a view)")
    print("".join(f"{name:>{wide}}" for name, wide in COLUMNS.items()), flush=True)
    rows = []
    for size in args.sizes:
        rows.append(apart(args, str(size)))
        print("".join(f"{shown(rows[-1][name]):>{wide}}" for name, wide in COLUMNS.items()), flush=True)
    return {"features": one, "scenes": rows}


def shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def apart(args: argparse.Namespace, case: str) -> dict[str, Any]:
    """A case in a process of its own."""
    words = [
        f"--{name}={value}" for name, value in vars(args).items() if value and name in ("model", "room", "repeats", "threads")
    ]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        command = [
            sys.executable,
            Path(__file__).parents[1] / "benchmark.py",
            "--here",
            "semantics",
            out,
            *words,
            f"--case={case}",
        ]
        if subprocess.run([str(word) for word in command], check=False).returncode:
            raise SystemExit(1)
        return dict(json.loads(out.read_text())["figures"])
