# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole product in a real window, with the mouse and the keyboard; skipped with a reason where there is none."""

import json
import os
import shutil
from pathlib import Path

STEPS = (
    "installed",
    "server set up",
    "demo room",
    "predicted",
    "a class hidden",
    "asked",
    "selected",
    "labelled",
    "live",
    "cancelled",
    "saved",
)


def test_from_the_zip_to_a_saved_file(window, extension_zip, server_python, tmp_path):
    archive = shutil.copy(extension_zip, tmp_path)
    (tmp_path / "journey.json").write_text(json.dumps({"zip": str(archive), "python": str(server_python)}))
    told = window("journey.py", size="1500x1500")
    said = [line.removeprefix("JOURNEY ") for line in told.splitlines() if line.startswith("JOURNEY ")]
    assert [next((s for s in STEPS if line.startswith(s)), line) for line in said] == list(STEPS)
    pictures = sorted(tmp_path.glob("[0-9]*.png"))
    assert len(pictures) >= len(STEPS) and all(picture.stat().st_size > 50_000 for picture in pictures)
    if "SPLATONYM_PICTURES" in os.environ:  # to look at, and for the docs
        for picture in pictures:
            shutil.copy(picture, Path(os.environ["SPLATONYM_PICTURES"]))
