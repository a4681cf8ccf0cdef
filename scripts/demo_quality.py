# SPDX-License-Identifier: GPL-3.0-or-later
"""How close the demo's results come to Blender's own renders, in figures and in the arrays that contact_sheet.py lays out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

HELD_OUT = ("View.008", "View.009")


def truth_classes(view: object, instances: object, labels: object) -> np.ndarray:
    """[H, W] uint8: the true label of each pixel, 255 where Blender saw nothing."""
    table = np.full(max(instances, default=0) + 1, 255, np.uint8)
    for number, instance in instances.items():
        table[number] = labels.id_of(instance.class_name)
    return table[view.index]


def translated(classes: np.ndarray, of: object, to: object) -> np.ndarray:
    """[H, W] label ids of one set as those of another, by name; 255 for names that the other does not have."""
    table = np.full(256, 255, np.uint8)
    table[: len(of)] = [to.names.index(name) if name in to.names else 255 for name in of.names]
    return table[classes]


def compare(captured: object, pictures: list, labels: object, true_labels: object) -> dict[str, dict[str, float]]:
    """Means over the held-out views and over the input views, against Blender's own renders; classes are compared by name."""
    from splatonym.core import metrics

    out = {}
    for group, wanted in (("held_out", True), ("input", False)):
        pairs = [(v, p) for v, p in zip(captured.views, pictures, strict=True) if (v.name in HELD_OUT) is wanted]
        counts = sum(
            metrics.confusion(
                translated(p.classes, labels, true_labels),
                truth_classes(v, captured.instances, true_labels),
                len(true_labels),
            )
            for v, p in pairs
        )
        values = {
            "psnr": [metrics.psnr(p.rgb, v.rgb) for v, p in pairs],
            "ssim": [metrics.ssim(p.rgb, v.rgb) for v, p in pairs],
            "depth_abs_rel": [metrics.depth_abs_rel(p.depth, v.depth) for v, p in pairs],
        }
        out[group] = {name: round(float(np.mean(v)), 4) for name, v in values.items()}
        out[group]["miou"] = round(metrics.mean_iou(counts), 4)
        out[group]["accuracy"] = round(metrics.accuracy(counts), 4)
    return out


def write_pictures(path: Path, captured: object, pictures: dict[str, list], labels: dict[str, object]) -> None:
    """What contact_sheet.py lays out; it runs in the environment that has an image library."""
    true = labels["scene"]
    arrays = {
        "names": np.array([view.name for view in captured.views]),
        "held_out": np.array([view.name in HELD_OUT for view in captured.views]),
        "classes": np.array(true.names),
        "colours": true.colours,
        "network_colours": labels["network"].colours,
    }
    for k, (view, named, scene) in enumerate(zip(captured.views, pictures["network"], pictures["scene"], strict=True)):
        arrays |= {f"{k}.truth_rgb": view.rgb, f"{k}.rgb": named.rgb, f"{k}.depth": named.depth}
        arrays |= {f"{k}.network_classes": named.classes, f"{k}.classes": scene.classes}
        arrays |= {f"{k}.truth_classes": truth_classes(view, captured.instances, true)}
    np.savez(path, **arrays)
