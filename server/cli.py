# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `splatonym predict | label | query | render | eval | models | doctor`.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 failed (one sentence, and a hint on the next line), 2
wrong usage, 130 interrupted. What a command writes appears whole or not at all. Torch takes seconds to import: a command does
it once its arguments are known to be good, so that help and mistakes answer at once, and doctor on a broken installation.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..core.errors import Cancelled, InvalidInput, SplatonymError
from ..core.files import staged_folder, write_json
from ..core.labels import preset, preset_names
from ..core.scene import read_scene
from . import cli_semantics
from .rasterize import choice
from .terminal import ProgressLine, note, say_rasterizer, say_result

INTERRUPTED = 130
LABEL_SOURCES = ("scene", "network", "text")
EXAMPLE = """examples:
  splatonym predict room/transforms.json -o result --views 0,2,5,7
  splatonym predict room/transforms.json -o result --label-source text --labels 'chair,table,lamp'
  splatonym query result 'red chair'
  splatonym render result room/transforms.json -o pictures
  splatonym eval result room/transforms.json --json scores.json
  splatonym doctor
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        if "rasterizer" in arguments:
            choice.configure(choice.from_arguments(arguments))
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except (KeyboardInterrupt, Cancelled):
        print("splatonym: interrupted; nothing was written.", file=sys.stderr)
        return INTERRUPTED
    except SplatonymError as error:
        if arguments.debug:
            traceback.print_exc()
        print(f"splatonym: error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def predict(arguments: argparse.Namespace) -> int:
    """A capture's views -> OUT/scene.ply, OUT/labels.json, OUT/report.json."""
    from .captures import read_capture
    from .results import Inputs, versions, write_result

    options = dict(_option(text) for text in arguments.option)
    label_options = cli_semantics.text_options(arguments)
    from_text = arguments.label_source == "text"
    if label_options and not from_text:
        given = "--" + next(iter(label_options)).replace("_", "-").replace("prompts", "prompt")
        raise InvalidInput(f"{given} is for labels from text.", "Add --label-source text.")
    labels = cli_semantics.label_set(arguments.labels, one_will_do=from_text) if arguments.labels else None
    capture = read_capture(arguments.cameras)
    if arguments.views:
        capture = capture.pick(arguments.views)
    labels = labels or capture.labels or preset("indoor")
    if not from_text:
        labels = labels.with_names(i.class_name for i in capture.instances.values())
    if not from_text and capture.labels is None and any(frame.index for frame in capture.frames):
        note(f"There is no labels.json beside '{capture.path}': its instances have no classes and stay unlabelled.")
    with staged_folder(arguments.out) as folder, ProgressLine(arguments.quiet) as job:
        from .pipeline import PredictRequest
        from .pipeline import predict as run

        with job.stage("read"):
            views = capture.views(job)
        request = PredictRequest(
            name=arguments.name or arguments.out.resolve().name,
            views=views,
            labels=labels,
            instances=capture.instances,
            predictor=arguments.predictor,
            label_source=arguments.label_source,
            options=options,
            label_options=label_options,
        )
        result = run(request, job)
        settings = {"predictor": request.predictor, "label_source": request.label_source, "options": options}
        settings |= {"label_options": label_options} if from_text else {}
        report = {
            "name": request.name,
            "input": Inputs.of(capture).as_json(),
            "settings": {**settings, "strict": arguments.strict},
            **result.report,
            "versions": versions(),
        }
        write_result(folder, result.scene, report, job, strict=arguments.strict)
    for text in result.report.get("notes", ()):
        note(text)
    say_result(arguments.out, result.scene.counts(), len(result.scene.gaussians), sum(job.timings.values()))
    say_rasterizer(result.report)
    return 0


def render(arguments: argparse.Namespace) -> int:
    """A result, seen from a capture's cameras -> pictures."""
    from .captures import read_capture
    from .pictures import write_rendered

    capture = read_capture(arguments.cameras)
    if arguments.views:
        capture = capture.pick(arguments.views)
    stems = capture.stems()
    scene = read_scene(arguments.result)
    from .rendering import render_scene

    too_far = 0
    with staged_folder(arguments.out) as folder, ProgressLine(arguments.quiet) as job:
        backend = choice.ready(job)
        with job.stage("render"):
            pictures = render_scene(scene, [frame.camera for frame in capture.frames], job, backend=backend)
            for stem, picture in zip(stems, pictures, strict=True):
                too_far += write_rendered(folder, stem, picture)
    if too_far:
        note(f"{too_far} depths over 65.535 do not fit a 16-bit PNG in thousandths, and were written as 0.")
    print(f"{arguments.out}: pictures of {len(stems)} frames")
    say_rasterizer(choice.describe(backend))
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """A result against true pictures, depths and labels -> a table."""
    from .captures import read_capture
    from .results import read_inputs

    scene = read_scene(arguments.result)
    truth = read_capture(arguments.truth)
    inputs = read_inputs(arguments.result).read(arguments.inputs)
    if arguments.frames not in (["all"], ["held-out"]):
        truth = truth.pick(arguments.frames)
    if arguments.json and not arguments.json.resolve().parent.is_dir():
        raise InvalidInput(f"There is no folder for '{arguments.json}'.", "Make it first.")
    from .evaluation import as_json, evaluate, is_input, table

    with ProgressLine(arguments.quiet) as job:
        with job.stage("read"):
            views = inputs.views(job)
        if arguments.frames == ["held-out"]:
            truth = truth.pick([str(k) for k, frame in enumerate(truth.frames) if not is_input(frame.camera, views)])
            if not truth.frames:
                raise InvalidInput(f"All frames of '{truth.path}' were inputs.", "Predict from some of them with --views.")
        backend = choice.ready(job)
        scores = evaluate(scene, truth, views, job)
    if scene.gaussians.label is None:
        note("The result was written with --strict, without labels: mIoU and accuracy say nothing.")
    print(table(scores))
    if arguments.json:
        places = {"result": str(arguments.result), "truth": str(truth.path)}
        write_json(arguments.json, {**places, "rasterizer": choice.describe(backend), **as_json(scores)})
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """What is installed and works."""
    import json

    from .doctor import as_json, examine, fit, report

    with ProgressLine(arguments.quiet) as job:
        checks = examine(job, again=arguments.again)
    print(json.dumps(as_json(checks), indent=1) if arguments.json else report(checks))
    return 0 if fit(checks) else 1


def _option(text: str) -> tuple[str, object]:
    """ "voxel=0.02" -> ("voxel", 0.02); numbers, true and false are read as such."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidInput(f"'{text}' is no option.", "Write NAME=VALUE.")
    if value in ("true", "false"):
        return name, value == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise argparse.ArgumentTypeError("an empty name between commas")
    return words


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("-q", "--quiet", action="store_true", help="no progress")
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    drawing = argparse.ArgumentParser(add_help=False)
    choice.add_arguments(drawing)
    top = argparse.ArgumentParser(
        prog="splatonym",
        description="Posed pictures become labelled Gaussians: a 3D scene in which everything has a name.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"splatonym {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    cameras = "a transforms.json in the nerfstudio layout, or its folder"
    views = "frames, by place from 0 or by name, with commas between; all if left out"

    def command(name: str, run: object, text: str, more: str, *, draws: bool = True) -> argparse.ArgumentParser:
        form, parents = argparse.RawDescriptionHelpFormatter, [shared, drawing] if draws else [shared]
        added = commands.add_parser(name, help=text, description=f"{text}\n\n{more}", parents=parents, formatter_class=form)
        added.set_defaults(run=run)
        return added

    one = command(
        "predict",
        predict,
        "Make labelled Gaussians from a capture's pictures.",
        "Writes OUT/scene.ply (3DGS properties plus label, instance and confidence), OUT/labels.json\n"
        "(a label's id is its place in 'classes') and OUT/report.json.\n\n"
        "example: splatonym predict room/transforms.json -o result --views 0,2,5,7",
    )
    one.add_argument("cameras", type=Path, metavar="CAMERAS.json", help=cameras)
    one.add_argument("-o", "--out", type=Path, required=True, help="the result's folder, made if needed")
    one.add_argument("--views", type=_words, metavar="LIST", help=views)
    one.add_argument(
        "--predictor", default="depth-pass", metavar="NAME", help="what makes the Gaussians (default: %(default)s)"
    )
    one.add_argument(
        "--label-source",
        choices=LABEL_SOURCES,
        default="scene",
        help="where labels come from: scene (instance maps; the default), network (the classes it was trained on), text (--labels)",
    )
    one.add_argument(
        "--labels",
        metavar="SET",
        help=f"label set: {', '.join(preset_names())}, a labels.json, or names: 'chair,sofa=couch|settee'",
    )
    one.add_argument("--name", help="the scene's name (default: the folder's)")
    one.add_argument("--strict", action="store_true", help="plain 3DGS properties only in scene.ply, no labels")
    one.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="a predictor's own option; repeatable")
    cli_semantics.add_text_arguments(one)

    two = command(
        "render",
        render,
        "Render a result from a capture's cameras.",
        "For a frame whose file is x.png writes x.rgb.png, x.depth.png (16 bit, thousandths of a unit, 0 = none),\n"
        "x.alpha.png, x.class.png (label id, 255 = nothing) and x.instance.png (16 bit). The frames' own pictures\n"
        "need not exist.\n\n"
        "example: splatonym render result room/transforms.json -o pictures",
    )
    two.add_argument("result", type=Path, metavar="OUT", help="a folder that 'predict' wrote")
    two.add_argument("cameras", type=Path, metavar="CAMERAS.json", help=cameras)
    two.add_argument("-o", "--out", type=Path, required=True, metavar="PICS", help="the pictures' folder, made if needed")
    two.add_argument("--views", type=_words, metavar="LIST", help=views)

    three = command(
        "eval",
        evaluate,
        "Compare a result with true pictures.",
        "Prints PSNR, SSIM, depth error (mean of |d - true| / true), mIoU and accuracy for each frame, on all pixels and\n"
        "on those whose surface an input view saw, and their means over held-out frames and over inputs.\n\n"
        "example: splatonym eval result room/transforms.json --frames held-out --json scores.json",
    )
    three.add_argument("result", type=Path, metavar="OUT", help="a folder that 'predict' wrote")
    three.add_argument("truth", type=Path, metavar="TRUTH.json", help=cameras)
    three.add_argument(
        "--frames", type=_words, default=["all"], metavar="all|held-out|LIST", help="frames to judge (default: all)"
    )
    three.add_argument(
        "--inputs", type=Path, metavar="CAMERAS.json", help="where the capture of the inputs is, if it has moved"
    )
    three.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")

    cli_semantics.add_commands(command, _words)

    four = command(
        "doctor",
        doctor,
        "Say what is installed, what works, and how to repair what does not.",
        "Exit code 0 if the main job can run, else 1. gsplat is compiled on its first use, which takes minutes; how that\n"
        "went is remembered.",
        draws=False,
    )
    four.add_argument("--again", action="store_true", help="try gsplat again, whatever is remembered")
    four.add_argument("--json", action="store_true", help="as JSON")
    return top


if __name__ == "__main__":
    sys.exit(main())
