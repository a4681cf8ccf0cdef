# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on the demo room, inside Blender's Python; `demo.py` sets up the environments and calls this.

    .venv-blender/bin/python scripts/demo_job.py --server-python .venv-server/bin/python --out demo_out

Eight views are captured and predicted from, two more are held out and only compared with. The network makes the Gaussians and names them; the
same Gaussians named from the scene's own objects stand beside it, as the names to reach.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import bpy
from demo_quality import HELD_OUT, compare, write_pictures
from label_scene import ROOT, load_package

ROOM = ROOT / "addon" / "demo" / "room.blend"


class Stages:
    """Prints the stages as they come, and remembers how long each took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name, self._start, self._told = "", time.perf_counter(), ("", "")

    def tell(self, stage: str, text: str = "") -> None:
        now = time.perf_counter()
        if stage != self._name:
            if self._name:
                self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._start
            self._name, self._start = stage, now
        if (stage, text) != self._told:
            self._told = (stage, text)
            print(f"[{stage.lower()}] {text}", flush=True)


def run(out: Path) -> dict[str, object]:
    from splatonym.addon import connection, headless, jobs, labelling
    from splatonym.addon.build import build_scene
    from splatonym.addon.capture import choose_cameras
    from splatonym.core import protocol
    from splatonym.core.files import write_json
    from splatonym.core.scene import write_scene

    stages, start = Stages(), time.perf_counter()

    def finish(work: jobs.Work) -> object:
        return jobs.run_to_end(work, lambda step: stages.tell(step.stage, step.text))

    stages.tell("Server", "starting")
    connection.client()
    stages.tell("Open", ROOM.name)
    headless.open_blend(ROOM)
    options = labelling.LabelOptions(
        result_name="Demo room", camera_source="ALL", resolution=256, samples=4, predictor="network", label_source="network"
    )
    shots = choose_cameras(bpy.context, options.camera_source)
    captured = finish(labelling.capture_steps(bpy.context, shots, options))
    inputs = [view for view in captured.views if view.name not in HELD_OUT]
    cameras = [view.camera for view in captured.views]
    packed = [protocol.pack_camera(camera) for camera in cameras]
    outcomes, pictures, rendered_with = {}, {}, {}
    for source in ("network", "scene"):
        named = replace(options, label_source=source)
        outcomes[source] = finish(labelling.predict_steps(replace(captured, views=inputs), named))
        request = {"scene": outcomes[source].result_id, "cameras": packed}
        rendered_with, arrays = finish(labelling.server_steps("render", request))
        pictures[source] = protocol.unpack_pictures(cameras, arrays)
    outcome = outcomes["network"]

    stages.tell("Import", f"{len(outcome.scene.gaussians):,} Gaussians")
    build_scene(bpy.context.scene, outcome.scene, result_id=outcome.result_id)
    stages.tell("Save", str(out))
    headless.save_copy(out / "room.blend")
    write_scene(out, outcome.scene)
    stages.tell("Compare", "with Blender's own renders")
    labels = {source: outcomes[source].scene.labels for source in outcomes}
    quality = {source: compare(captured, pictures[source], labels[source], labels["scene"]) for source in outcomes}
    write_pictures(out / "pictures.npz", captured, pictures, labels)
    stages.tell("Done")
    report = {
        "settings": {
            "file": ROOM.name,
            "views": len(inputs),
            "held_out": list(HELD_OUT),
            "width": cameras[0].width,
            "height": cameras[0].height,
            "samples": options.samples,
            "predictor": options.predictor,
            "label_source": options.label_source,
            "label_set": options.label_set,
        },
        "blender": bpy.app.version_string,
        "cores": os.cpu_count(),
        "device": outcome.report["device"],
        "backend": outcome.report["backend"],
        "seconds": {name: round(value, 3) for name, value in stages.seconds.items()},
        "seconds_total": round(time.perf_counter() - start, 3),
        "gaussians": len(outcome.scene.gaussians),
        "counts": outcome.scene.counts(),
        "quality": quality["network"],
        "quality_scene_labels": quality["scene"],
        "server": outcome.report,
        "render": rendered_with,
    }
    write_json(out / "report.json", report)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server-python", type=Path, required=True, help="interpreter of the environment with torch")
    parser.add_argument("--out", type=Path, default=ROOT / "demo_out")
    arguments = parser.parse_args()
    load_package()
    import splatonym
    from splatonym.addon.preferences import INTERPRETER_VARIABLE
    from splatonym.core.errors import SplatonymError
    from splatonym.core.files import staged_folder

    os.environ[INTERPRETER_VARIABLE] = str(arguments.server_python)
    splatonym.register()
    try:
        with staged_folder(arguments.out.resolve()) as folder:
            report = run(folder)
    except SplatonymError as error:
        print(f"demo: error: {error.message}\n  {error.hint}", file=sys.stderr)
        return 1
    finally:
        splatonym.unregister()
    held_out = report["quality"]["held_out"]
    print(
        f"[demo] {report['gaussians']:,} Gaussians in {report['seconds_total']:.1f} s on {report['device']} ({report['backend']})"
    )
    print(f"[demo] held-out views: {', '.join(f'{name} {value:.3f}' for name, value in held_out.items())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
