# SPDX-License-Identifier: GPL-3.0-or-later
"""One tiny room, made by the command line in its own environment, where that and the furniture are there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from dataset import folders  # noqa: E402
from environments import python_of  # noqa: E402

PYTHON = Path(os.environ.get("SPLATONYM_DATASET_PYTHON", python_of("dataset")))
SWEET_HOME = Path(os.environ.get("SPLATONYM_SWEETHOME3D", "/usr/share/sweethome3d"))


def make(out: Path, *words: str) -> str:
    command = [PYTHON, "-B", ROOT / "scripts" / "dataset" / "rooms.py", "make", "--out", out, "--seeds", "3", "4"]
    command += ["--furniture", SWEET_HOME / "furniture", "--jar", SWEET_HOME / "sweethome3d.jar"]
    command += ["--size", "48", "--samples", "1", *words]
    return subprocess.run([str(w) for w in command], capture_output=True, text=True, check=True, timeout=300).stdout


@pytest.mark.skipif(not PYTHON.exists(), reason="no environment 'dataset': python3 scripts/environments.py dataset")
@pytest.mark.skipif(not (SWEET_HOME / "furniture").is_dir(), reason=f"no furniture in {SWEET_HOME}: packages sweethome3d*")
def test_a_tiny_room(tmp_path: Path) -> None:
    make(tmp_path / "first")
    transforms, labels, views = folders.read(tmp_path / "first" / "room_00003")
    assert [f["role"] for f in transforms["frames"]] == ["arc"] * 6 + ["wide"] * 2
    assert labels["split"] == "train"
    assert not any(item["held_out"] for item in labels["instances"].values())
    for rgb, depth, instance, _ in views:
        assert rgb.shape == (48, 48, 3)
        assert rgb.std() > 5
        assert 0.02 < np.median(depth) < 10
        assert set(np.unique(instance)) <= {0, *map(int, labels["instances"])}
    poses = [np.array(f["transform_matrix"]) for f in transforms["frames"]]
    inside, hidden, close, same, _ = folders.compare(views[0], views[1], poses[0], poses[1], transforms["fl_x"])
    assert close > 0.9 * (inside - hidden)
    assert same > 0.95 * close
    assert "CC-BY" in (tmp_path / "first" / "ATTRIBUTION.txt").read_text(encoding="utf-8")
    # the same seed makes the same room; one that is there is not made again
    make(tmp_path / "second")
    again = folders.read(tmp_path / "second" / "room_00003")
    assert again[0] == transforms
    assert again[1] == labels
    assert all(np.array_equal(a[k], b[k]) for a, b in zip(views, again[2], strict=True) for k in (1, 2))
    assert "room 3" not in make(tmp_path / "second")
