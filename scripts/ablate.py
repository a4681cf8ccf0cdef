# SPDX-License-Identifier: GPL-3.0-or-later
"""What each part of the network brings: the same short training with one part left out at a time.

    .venv-train/bin/python scripts/ablate.py OUT --rooms ROOMS --validation ROOMS_VAL [--steps 800] [--side 96] [--only full "no offsets"]

Every variant sees the same examples in the same order. What only matters once Gaussians are drawn begins there, from the full network's state:
until then training with it and without is the same. Run again, it goes on; figures in OUT/ablation.json and as a table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from splatonym.server.job import Job
from splatonym.server.rasterize import choice
from splatonym.server.training.loop import TrainConfig, Trainer, network_of
from splatonym.server.training.rooms import Rooms
from splatonym.server.training.validation import validate
from train import backbone_file, keep_memory

VARIANTS: dict[str, dict[str, object]] = {
    "full": {},
    "no cost volume": {"changes": {"cost_volume": False}},
    "no view-to-view attention": {"changes": {"cross_view": False}},
    "no offsets": {"changes": {"offsets": False}},
    "no group supervision": {"losses": {"group": 0.0}},
    "no point interaction": {"changes": {"point_interaction": False}},
    "depth always given": {"depth_drop": 0.0},
    "depth never given": {"depth_drop": 1.0},
    "classes with Gaussians of their own": {"changes": {"own_semantics": True}},
}
LATE = ("no offsets", "no group supervision", "no point interaction")
RENDER_FROM = 0.6
COLUMNS = ("abs_rel", "psnr", "miou", "accuracy", "gaussians_per_pixel")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rooms", type=Path, action="append", required=True)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--side", type=int, default=96, help="pixels along each side, in training and in validation")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backbone", type=Path, help="EfficientNet-Lite0 weights (.pth), if not from the installed package")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS))
    args = parser.parse_args()
    keep_memory()
    torch.set_num_threads(args.threads)
    choice.configure(choice.RasterizerChoice(threads=args.threads))
    backend = choice.ready(Job())
    rooms, validation = Rooms(args.rooms), Rooms([args.validation])
    args.out.mkdir(parents=True, exist_ok=True)
    summary = args.out / "ablation.json"
    figures = json.loads(summary.read_text()) if summary.is_file() else {}
    budget = {"steps": args.steps, "side": args.side, "rooms": len(rooms)}
    if figures.setdefault("budget", budget) != budget:
        raise SystemExit(f"{summary} is of another budget, {figures['budget']}: choose another folder.")
    print(f"{'':<36} {'RGB only':^40} | with depth\n{'':<36} " + " ".join(f"{c[:8]:>8}" for c in COLUMNS * 2))
    for name in args.only or VARIANTS:
        if name not in figures:
            settings = {
                "steps": args.steps,
                "small_until": 1.0,
                "small_side": args.side,
                "render_from": RENDER_FROM,
                "save_every": 100,
            }
            config = TrainConfig(**settings, **VARIANTS[name], picture_every=args.steps, ema=0.99)
            folder = args.out / name.replace(" ", "-")
            trainer = Trainer(config, rooms, folder, "cpu", backend)
            if name in LATE and not (folder / "last.pt").exists():
                if not (args.out / "full" / "undrawn.pt").exists():
                    raise SystemExit(f"'{name}' begins where 'full' began to draw: train 'full' first.")
                shutil.copyfile(args.out / "full" / "undrawn.pt", folder / "last.pt")
            if (folder / "last.pt").exists():
                trainer.resume()
            else:
                trainer.network.backbone.load_imagenet(torch.load(args.backbone or backbone_file(), weights_only=True))
            for _ in trainer.run():
                if name == "full" and trainer.step == round(RENDER_FROM * args.steps):
                    trainer.save()
                    shutil.copyfile(folder / "last.pt", folder / "undrawn.pt")
            network = network_of(trainer).eval()
            figures[name] = {
                kind: validate(network, validation, backend, args.side, kind == "depth") for kind in ("rgb", "depth")
            }
            summary.write_text(json.dumps(figures, indent=1) + "\n")
        cells = [figures[name][kind][c] for kind in ("rgb", "depth") for c in COLUMNS]
        print(f"{name:<36} " + " ".join(f"{c:8.3f}" for c in cells), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
