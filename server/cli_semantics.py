# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that give names and answer questions: `splatonym label | query | models`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.answers import LEVELS, things_as_json
from ..core.errors import InvalidInput
from ..core.files import read_json, staged_folder, write_json
from ..core.labels import LabelMap, from_text, preset, preset_names
from ..core.ply import write_ply
from ..core.scene import SemanticScene, read_labels, read_scene, write_scene
from .job import Job
from .rasterize import choice
from .results import REPORT_NAME, read_inputs
from .terminal import ProgressLine, note, say_result

Command = Callable[..., argparse.ArgumentParser]


def label_set(text: str, *, one_will_do: bool = True) -> LabelMap:
    """A preset's name, a labels.json, or names with commas between: "chair,sofa=couch|settee,lamp".

    one_will_do: whether a single word that is no preset is a name, too.
    """
    if text in preset_names() or not (one_will_do or "," in text or text.endswith(".json")):
        return preset(text)
    return read_labels(Path(text))[1] if text.endswith(".json") else from_text(text)


def add_text_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of labels from text."""
    group = parser.add_argument_group("labels from text")
    group.add_argument("--model", metavar="NAME", help="vision-language model; 'splatonym models' lists them (default: auto)")
    group.add_argument("--regions", metavar="KIND", help="auto (default), instances, sam or segments")
    group.add_argument("--sam-model", metavar="NAME", help="which SAM model, or its folder")
    group.add_argument(
        "--prompt", action="append", metavar="TEXT", help="a sentence around each name, {} being the name; repeatable"
    )
    group.add_argument(
        "--floor", type=float, metavar="0..1", help="least confidence with which a name is given (default: 0.35)"
    )
    group.add_argument(
        "--rivals", metavar="LIST", help="what else there may be, with commas between; '' for nothing (default: common things)"
    )
    group.add_argument("--allow-download", action="store_true", help="fetch the model's weights if they are not here")


def text_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those that were given."""
    given = {
        "model": arguments.model,
        "regions": arguments.regions,
        "sam_model": arguments.sam_model,
        "prompts": arguments.prompt,
        "floor": arguments.floor,
        "rivals": None if arguments.rivals is None else [word.strip() for word in arguments.rivals.split(",") if word.strip()],
        "allow_download": arguments.allow_download or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def label(arguments: argparse.Namespace) -> int:
    """New names for a result, written into its folder."""
    labels = label_set(arguments.labels) if arguments.labels else None
    taught = [_lesson(text) for text in arguments.teach]
    scene = read_scene(arguments.result)
    from .semantics.text_labels import TextOptions

    options = TextOptions.read(text_options(arguments))
    with ProgressLine(arguments.quiet) as job:
        scene, notes = _named(scene, labels, taught, options, arguments, job)
        with job.stage("write"):
            write_scene(arguments.result, scene)
            path = arguments.result / REPORT_NAME
            if path.exists() and scene.codebook is not None:
                told = {"label_source": "text", "label_model": scene.codebook.model, "counts": scene.counts()}
                write_json(path, {**read_json(path), **told})
    for text in notes:
        note(text)
    say_result(arguments.result, scene.counts(), len(scene.gaussians), sum(job.timings.values()))
    return 0


def _named(
    scene: SemanticScene,
    labels: LabelMap | None,
    taught: list[tuple[list[int], str]],
    options: Any,
    arguments: argparse.Namespace,
    job: Job,
) -> tuple[SemanticScene, list[str]]:
    from .semantics.naming import of_instances, relabel, taught_scene
    from .semantics.text_labels import check_list, described, loaded, speaker

    notes: list[str] = []
    again = scene.codebook is None or arguments.again or arguments.model or arguments.regions or arguments.sam_model
    if again:
        capture = read_inputs(arguments.result).read(arguments.inputs)
        with job.stage("read"):
            views = capture.views(job)
        backend = choice.ready(job)
        clip, notes = loaded(options, job)
        check_list(labels or scene.labels, clip)
        scene, more = described(scene, views, clip, options, backend, job)
        notes = [*notes, *more]
    else:
        clip = speaker(scene, job)
    labels = (labels or scene.labels).with_names(name for _, name in taught if name)
    for numbers, name in taught:
        scene = taught_scene(scene, of_instances(scene.gaussians, numbers), name)
    return relabel(scene, labels, clip, options.wording, job), notes


def _lesson(text: str) -> tuple[list[int], str]:
    """ "12,15=chair" -> ([12, 15], "chair"); "12=" takes back what was taught of thing 12."""
    numbers, equals, name = text.partition("=")
    if not equals or not all(part.strip().isdigit() for part in numbers.split(",")):
        raise InvalidInput(f"'{text}' teaches nothing.", "Write the numbers of things and a name: --teach 12,15=chair.")
    return [int(part) for part in numbers.split(",")], name.strip()


def query(arguments: argparse.Namespace) -> int:
    """What a question means in a result."""
    scene = read_scene(arguments.result)
    for path in (arguments.json, arguments.ply):
        if path and not path.resolve().parent.is_dir():
            raise InvalidInput(f"There is no folder for '{path}'.", "Make it first.")
    if bool(arguments.heat) != bool(arguments.cameras):
        raise InvalidInput("A heat map needs both --heat FOLDER and --cameras CAMERAS.json.")
    from .semantics.questions import Question, ask
    from .semantics.text_labels import speaker

    question = Question.parse(arguments.text, arguments.unwanted)
    with ProgressLine(arguments.quiet) as job:
        clip = speaker(scene, job)
        with job.stage("ask"):
            found = ask(scene, question, clip, arguments.level, arguments.threshold)
        if arguments.heat:
            _write_heat(scene, found.scores, arguments, job)
    things = things_as_json(scene.instances, found)
    count = int(found.chosen.sum())
    print(f"'{arguments.text}': {count:,} of {len(scene.gaussians):,} Gaussians score {found.threshold:.2f} or more")
    for thing in things:
        print(f"  {thing['score']:.2f}  thing {thing['id']}  {thing['name']}")
    if arguments.json:
        told = {"text": arguments.text, "threshold": found.threshold, "count": count, "things": things}
        write_json(arguments.json, {**told, "histogram": found.histogram.tolist()})
    if arguments.ply:
        write_ply(arguments.ply, scene.gaussians.select(found.chosen))
    return 0


def _write_heat(scene: SemanticScene, scores: Any, arguments: argparse.Namespace, job: Job) -> None:
    from .captures import read_capture
    from .pictures import write_heat
    from .rendering import heat_maps

    capture = read_capture(arguments.cameras)
    if arguments.views:
        capture = capture.pick(arguments.views)
    with staged_folder(arguments.heat) as folder:
        backend = choice.ready(job)
        with job.stage("render"):
            cameras = [frame.camera for frame in capture.frames]
            pictures = heat_maps(scene, scores, cameras, job, backend=backend)
            for stem, picture in zip(capture.stems(), pictures, strict=True):
                write_heat(folder / f"{stem}.heat.png", picture)


def models(arguments: argparse.Namespace) -> int:
    """The vision-language models there are; or fetch one."""
    from .semantics.clip import fetch, sources

    if arguments.fetch:
        with ProgressLine(arguments.quiet) as job, job.stage("fetch model"):
            fetch.fetch(arguments.fetch, job, allowed=arguments.allow_download)
        print(f"'{arguments.fetch}' is on this machine.")
        return 0
    for one in sources.listing():
        here = "here" if one["here"] else "not here"
        print(f"{one['name']:<36} {one['megabytes']:>6,} MB  {here:<8}  {one['licence']}: {one['note']}")
    return 0


def add_commands(command: Command, words: Callable[[str], list[str]]) -> None:
    """Tell the parser of these commands."""
    one = command(
        "label",
        label,
        "Give a result other names, or teach it some.",
        "Names are typed: 'chair,sofa=couch|settee,lamp'. The first time the result's inputs are described by a vision-language\n"
        "model; from then on another list costs no look at pictures. What is taught stays and spreads to what is like it.\n\n"
        "example: splatonym label result --labels 'chair,table,lamp' --teach 12=stool",
    )
    one.add_argument("result", type=Path, metavar="OUT", help="a folder that 'predict' wrote")
    one.add_argument(
        "--labels", metavar="LIST", help=f"names with commas between, {', '.join(preset_names())}, or a labels.json"
    )
    one.add_argument(
        "--teach", action="append", default=[], metavar="THINGS=NAME", help="'12,15=chair'; '12=' takes it back; repeatable"
    )
    one.add_argument("--again", action="store_true", help="describe the inputs again, whatever is known")
    one.add_argument("--inputs", type=Path, metavar="CAMERAS.json", help="where the capture of the inputs is, if it has moved")
    add_text_arguments(one)

    two = command(
        "query",
        query,
        "Ask a result for something.",
        "'red chair', 'chair, stool', 'chair not armchair'. Prints the things that are meant, the best first; the result must have been\n"
        "described (predict --label-source text, or label).\n\n"
        "example: splatonym query result 'red chair' --ply chair.ply",
    )
    two.add_argument("result", type=Path, metavar="OUT", help="a folder that 'predict' wrote")
    two.add_argument("text", metavar="TEXT", help="what is looked for")
    two.add_argument(
        "--not", dest="unwanted", action="append", default=[], metavar="TEXT", help="what is not meant; repeatable"
    )
    two.add_argument("--level", choices=LEVELS, default="object", help="what is chosen (default: %(default)s)")
    two.add_argument(
        "--threshold", type=float, metavar="0..1", help="least score (default: where the scores fall into two groups)"
    )
    two.add_argument("--json", type=Path, metavar="FILE", help="write the answer here, too")
    two.add_argument("--ply", type=Path, metavar="FILE", help="write the chosen Gaussians here")
    two.add_argument("--heat", type=Path, metavar="FOLDER", help="write heat maps here, through the cameras of --cameras")
    two.add_argument("--cameras", type=Path, metavar="CAMERAS.json", help="a transforms.json, or its folder")
    two.add_argument("--views", type=words, metavar="LIST", help="frames of --cameras, by place from 0 or by name")

    three = command(
        "models",
        models,
        "List the vision-language models, or fetch one.",
        "Says which are on this machine, their size and licence. Nothing is fetched without --allow-download.\n\n"
        "example: splatonym models --fetch ViT-B-16/laion2b_s34b_b88k --allow-download",
        draws=False,
    )
    three.add_argument("--fetch", metavar="NAME", help="fetch the weights of this model")
    three.add_argument("--allow-download", action="store_true", help="allow it to open a connection")
