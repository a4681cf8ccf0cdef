# SPDX-License-Identifier: GPL-3.0-or-later
"""A contact sheet of what the network makes of its inputs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...core.labels import LabelMap, label_colour
from ..models.network import Maps
from .rooms import Scene


def sheet(truth: Scene, maps: Maps, labels: LabelMap) -> npt.NDArray[np.uint8]:
    """Rows: pictures, true and predicted depth (near is bright), true and predicted classes; a column for each view."""
    palette = np.array([label_colour(name) for name in labels.names], np.uint8)
    most = float(truth.depth.max())

    def row(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return np.concatenate(list(pictures), 1)

    def grey(depth: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
        shade = (255 * (1 - np.clip(depth / most, 0, 1))).astype(np.uint8)
        return row(np.repeat(shade[..., None], 3, -1))

    return np.concatenate(
        [
            row((truth.rgb.permute(0, 2, 3, 1) * 255).byte().cpu().numpy()),
            grey(truth.depth.cpu().numpy()),
            grey(maps.depth.detach().cpu().numpy()),
            row(palette[truth.classes.cpu().numpy()]),
            row(palette[maps.logits.argmax(1).cpu().numpy()]),
        ]
    )
