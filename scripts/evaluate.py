# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges predictions against known pictures, depth and classes.

    .venv-server/bin/python scripts/evaluate.py rooms ROOMS [--inputs 0,2,5,7] [--json FILE]
    .venv-server/bin/python scripts/evaluate.py network ROOMS [--model FILE] [--inputs 2 4 8] [--rooms N] [--json FILE] [--markdown FILE]
    .venv-server/bin/python scripts/evaluate.py captures CAPTURES... [--model FILE] [--pictures FOLDER] [--json FILE]
    .venv-server/bin/python scripts/evaluate.py open-vocab ROOMS [--model NAME] [--json FILE]

ROOMS is a folder of captures (each with transforms.json and labels.json) or a tar of such. `rooms` judges the main job with depth and
the scene's own labels: for each room the inputs are predicted from, the other frames rendered and compared; figures are means over
held-out frames, on pixels whose surface an input view saw; mIoU once pooled over all pixels of all rooms, and once as a mean over rooms.
`network`, `captures` and `open-vocab`: see the modules in evaluation/.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from evaluation import captures, network, open_vocab
from splatonym.core import metrics
from splatonym.server.captures import read_capture
from splatonym.server.evaluation import evaluate
from splatonym.server.job import Job
from splatonym.server.pipeline import PredictRequest, predict
from splatonym.server.rasterize import choice


def judge(folder: Path, inputs: list[str]) -> dict[str, object]:
    """One room's figures, and the confusion of its held-out frames."""
    capture, job = read_capture(folder), Job()
    views = capture.pick(inputs).views(job)
    assert capture.labels is not None, f"{folder} has no labels.json"
    start = time.perf_counter()
    result = predict(PredictRequest(folder.name, views, capture.labels, capture.instances), job)
    seconds = time.perf_counter() - start
    judged = evaluate(result.scene, capture, views, job)
    frames = [frame for frame in judged.frames if not frame.is_input and frame.seen is not None]
    means = {
        name: float(np.mean([getattr(frame.seen, name) for frame in frames]))
        for name in ("psnr", "ssim", "depth_abs_rel", "share")
    }
    counts = sum(frame.seen_counts for frame in frames)
    return {
        "room": folder.name,
        **means,
        "miou": metrics.mean_iou(counts),
        "accuracy": metrics.accuracy(counts),
        "gaussians": len(result.scene.gaussians),
        "seconds": seconds,
        "counts": counts,
    }


@contextmanager
def folders_of(source: Path) -> Iterator[list[Path]]:
    """The captures' folders in a folder or a tar."""
    with tempfile.TemporaryDirectory() as folder:
        if source.is_file():
            with tarfile.open(source) as archive:
                archive.extractall(folder, filter="data")
        found = sorted(path.parent for path in (Path(folder) if source.is_file() else source).glob("*/transforms.json"))
        if not found:
            raise SystemExit(f"there are no captures in {source}")
        yield found


def rooms(args: argparse.Namespace) -> dict[str, object]:
    with folders_of(args.rooms) as names:
        rows = []
        print(
            f"{'room':<12} {'PSNR':>6} {'SSIM':>6} {'depth':>7} {'mIoU':>6} {'acc.':>6} {'seen':>5} {'Gaussians':>9} {'s':>6}"
        )
        for name in names[: args.most]:
            rows.append(judge(name, args.inputs.split(",")))
            print(line(rows[-1]), flush=True)
    pooled = sum(row.pop("counts") for row in rows)
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "room"}
    print(line({"room": "mean", **mean}))
    print(f"mIoU pooled over all rooms {metrics.mean_iou(pooled):.3f}, accuracy {metrics.accuracy(pooled):.3f}")
    return {"inputs": args.inputs, "rooms": rows, "mean": mean, "pooled_miou": metrics.mean_iou(pooled)}


def line(row: dict[str, object]) -> str:
    return (
        f"{row['room']:<12} {row['psnr']:6.2f} {row['ssim']:6.3f} {row['depth_abs_rel']:7.4f} {row['miou']:6.3f} "
        f"{row['accuracy']:6.3f} {row['share']:5.0%} {row['gaussians']:9.0f} {row['seconds']:6.1f}"
    )


def network_figures(args: argparse.Namespace) -> dict[str, object]:
    with folders_of(args.rooms) as folders:
        return network.run(folders, args)


def open_vocab_figures(args: argparse.Namespace) -> dict[str, object]:
    with folders_of(args.rooms) as folders:
        return open_vocab.run(folders, args)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("rooms", help="rendered rooms, scene labels, held-out views")
    command.add_argument("rooms", type=Path)
    command.add_argument("--inputs", default="0,2,5,7", help="frames to predict from")
    command.add_argument("--most", type=int, help="judge only the first so many rooms")
    command.set_defaults(run=rooms)
    command = commands.add_parser("network", help="rendered rooms, the network beside baselines")
    command.add_argument("rooms", type=Path)
    network.add_arguments(command)
    command.set_defaults(run=network_figures)
    command = commands.add_parser("captures", help="other captures, the network from pictures alone")
    captures.add_arguments(command)
    command.set_defaults(run=captures.run)
    command = commands.add_parser("open-vocab", help="rendered rooms, typed names and questions")
    open_vocab.add_arguments(command)
    command.set_defaults(run=open_vocab_figures)
    for command in commands.choices.values():
        command.add_argument("--json", type=Path)
        command.add_argument("--threads", type=int, help="of torch and the rasterizer")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
        choice.configure(choice.RasterizerChoice(threads=args.threads))
    figures = args.run(args)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
