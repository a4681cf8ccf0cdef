# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the project's own small vision-language model on rendered furniture, and writes it as open_clip loads any other.

    .venv-train/bin/python scripts/train_tiny_clip.py run RUN --objects OBJECTS [--rooms ROOMS] [--steps 3000]
    .venv-train/bin/python scripts/train_tiny_clip.py export RUN server/semantics/clip/tiny
    .venv-train/bin/python scripts/train_tiny_clip.py judge FOLDER --objects OBJECTS

OBJECTS are pictures of scripts/dataset/objects.py, ROOMS rooms of scripts/dataset/rooms.py. `run` goes on where it stopped. The picture tower
begins as EfficientNet-Lite0 of ImageNet, the text tower from nothing: it knows the words of the furniture catalogue and of colours, no others.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from splatonym.server.training import tiny_clip
from splatonym.server.training.pairs import read_objects, read_rooms
from train import backbone_file, keep_memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train, or go on training")
    run.add_argument("out", type=Path)
    run.add_argument("--objects", type=Path, required=True)
    run.add_argument("--rooms", type=Path, action="append", default=[])
    run.add_argument("--steps", type=int, default=3000)
    run.add_argument("--batch", type=int, default=64)
    run.add_argument("--threads", type=int, default=os.cpu_count())
    run.add_argument("--backbone", type=Path, help="EfficientNet-Lite0 weights (.pth), if not from the installed package")
    export = commands.add_parser("export", help="the averaged weights in half precision, with open_clip's JSON")
    export.add_argument("out", type=Path)
    export.add_argument("folder", type=Path)
    judge = commands.add_parser("judge", help="top-1 over names on models that no training has seen")
    judge.add_argument("folder", type=Path)
    judge.add_argument("--objects", type=Path, required=True)
    args = parser.parse_args()
    if args.command == "run":
        return train(args)
    if args.command == "export":
        print(f"{args.folder}: {tiny_clip.export(args.out / 'last.pt', args.folder) / 1e6:.1f} MB")
        return 0
    print(json.dumps(tiny_clip.judge(args.folder, read_objects(args.objects)), indent=1))
    return 0


def train(args: argparse.Namespace) -> int:
    keep_memory()
    torch.set_num_threads(args.threads)
    folders = [folder for rooms in args.rooms for folder in sorted(rooms.glob("room_*"))]
    objects, rooms = read_objects(args.objects), read_rooms(folders, np.random.default_rng(0))
    trainer = tiny_clip.TinyTrainer(objects, rooms, args.out, args.steps, args.batch)
    if not trainer.resume():
        tiny_clip.load_imagenet(trainer.network, torch.load(args.backbone or backbone_file(), weights_only=True))
    print(
        f"{len(objects)} pictures of objects, {len(rooms)} crops of rooms, from step {trainer.step} to {args.steps}", flush=True
    )
    for losses in trainer.run():
        if trainer.step % 20 == 0:
            print(f"{trainer.step}: " + " ".join(f"{name} {value:.3f}" for name, value in losses.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
