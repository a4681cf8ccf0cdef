# SPDX-License-Identifier: GPL-3.0-or-later
"""Lays out pictures of a result beside the truth.

    .venv-server/bin/python scripts/contact_sheet.py pictures.npz contact_sheet.png

The npz holds `names` [V], `held_out` [V] bool, `classes` [C] names, `colours` [C, 3] uint8, `network_colours`, and per view k
`k.truth_rgb`, `k.rgb`, `k.depth`, `k.network_classes`, `k.classes`, `k.truth_classes`. Rows: Blender's render, splat render, splat depth, the
network's classes, the same Gaussians named from the scene, true classes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROWS = ("Blender's render", "Splat render", "Splat depth", "Network's names", "Scene's names", "True classes")
MARGIN, HEADING, SIDE, BACK, INK = 4, 18, 104, (24, 24, 26), (222, 222, 224)


def depth_picture(depth: np.ndarray, far: float) -> np.ndarray:
    """Near is bright, far is dark, nothing is black."""
    shade = np.where(depth > 0, 255 * (1 - 0.85 * np.clip(depth / far, 0, 1)), 0)
    return np.repeat(shade[..., None], 3, axis=-1).astype(np.uint8)


def class_picture(classes: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Label ids -> their colours; 255 (nothing) is black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    return table[classes]


def sheet(pictures: dict[str, np.ndarray]) -> Image.Image:
    names, colours = pictures["names"], pictures["colours"]
    height, width = pictures["0.rgb"].shape[:2]
    far = float(np.percentile(np.concatenate([pictures[f"{k}.depth"].ravel() for k in range(len(names))]), 99)) or 1.0
    used = sorted({int(c) for k in range(len(names)) for c in np.unique(pictures[f"{k}.truth_classes"]) if c < len(colours)})
    size = (SIDE + len(names) * (width + MARGIN), HEADING + len(ROWS) * (height + MARGIN) + 24)
    canvas = Image.new("RGB", size, BACK)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(12)
    for row, title in enumerate(ROWS):
        draw.text((6, HEADING + row * (height + MARGIN) + height // 2 - 8), title.replace(" ", "\n", 1), INK, font=font)
    for k, name in enumerate(names):
        x = SIDE + k * (width + MARGIN)
        draw.text((x + 2, 2), f"{name}{' (held out)' if pictures['held_out'][k] else ''}", INK, font=font)
        column = (
            pictures[f"{k}.truth_rgb"],
            pictures[f"{k}.rgb"],
            depth_picture(pictures[f"{k}.depth"], far),
            class_picture(pictures[f"{k}.network_classes"], pictures["network_colours"]),
            class_picture(pictures[f"{k}.classes"], colours),
            class_picture(pictures[f"{k}.truth_classes"], colours),
        )
        for row, picture in enumerate(column):
            canvas.paste(Image.fromarray(picture), (x, HEADING + row * (height + MARGIN)))
    x, y = SIDE, size[1] - 20
    for label in used:
        name = str(pictures["classes"][label])
        draw.rectangle((x, y, x + 12, y + 12), tuple(int(c) for c in colours[label]))
        draw.text((x + 16, y - 1), name, INK, font=font)
        x += 28 + int(draw.textlength(name, font=font))
    return canvas


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    with np.load(sys.argv[1], allow_pickle=False) as file:
        picture = sheet(dict(file))
    target = Path(sys.argv[2])
    beside = target.with_name(f".{target.name}")
    picture.save(beside, format="PNG", optimize=True)
    beside.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
