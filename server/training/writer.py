# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves to look at: curves for TensorBoard, the same as JSON lines, and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter


class Curves:
    """Means of the losses between two flushes, to `folder`/curves (TensorBoard) and `folder`/log.jsonl."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.board = SummaryWriter(str(folder / "curves"))
        self.pending: dict[str, list[float]] = {}
        self.step = 0

    def add(self, step: int, values: dict[str, float]) -> None:
        self.step = step
        for name, value in values.items():
            self.pending.setdefault(name, []).append(value)

    def flush(self) -> None:
        means = {name: float(np.mean(values)) for name, values in self.pending.items()}
        self.pending.clear()
        for name, value in means.items():
            self.board.add_scalar(name, value, self.step)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **{k: round(v, 5) for k, v in means.items()}}) + "\n")

    def picture(self, step: int, image: np.ndarray) -> None:
        """image: [H, W, 3] uint8."""
        pictures = self.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        Image.fromarray(image).save(pictures / f"{step:06d}.png")
        self.board.add_image("maps", image, step, dataformats="HWC")

    def close(self) -> None:
        if self.pending:
            self.flush()
        self.board.close()
