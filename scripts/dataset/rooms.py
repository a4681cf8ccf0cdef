# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes, shows, checks and packs rendered rooms; see README.md beside this file.

    python scripts/dataset/rooms.py make  --out rooms --seeds 1 100
    python scripts/dataset/rooms.py sheet --rooms rooms --out sheet.png --count 6
    python scripts/dataset/rooms.py check --rooms rooms
    python scripts/dataset/rooms.py pack  --rooms rooms --out shards

`make` needs bpy and OpenEXR (environment "dataset"); the rest only numpy and Pillow.
"""

import argparse
import os
import sys
from pathlib import Path

SWEET_HOME = "/usr/share/sweethome3d"


def parse(words=None):
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="render rooms that are not there yet")
    make.add_argument("--furniture", default=f"{SWEET_HOME}/furniture", help="folder with the .sh3f libraries")
    make.add_argument("--jar", default=f"{SWEET_HOME}/sweethome3d.jar", help="sweethome3d.jar, for its textures")
    make.add_argument("--out", required=True, help="folder for the rooms")
    make.add_argument("--seeds", type=int, nargs=2, required=True, metavar=("FIRST", "END"))
    make.add_argument("--step", type=int, default=1, help="take every STEPth seed, to share work among processes")
    make.add_argument(
        "--split", choices=["train", "val", "both"], default="both", help="leave out the seeds of the other split"
    )
    make.add_argument("--arc", type=int, default=6, help="views on the arc")
    make.add_argument("--wide", type=int, default=2, help="views from elsewhere")
    make.add_argument("--size", type=int, default=160, help="pixels along each side")
    make.add_argument("--samples", type=int, default=4)
    make.add_argument("--core", type=int, help="stay on this processor core (Linux); twice as fast with a process per core")
    make.add_argument("--nice", type=int, default=0)
    make.add_argument("--stop-file", help="finish the room in progress and end once this file exists")
    sheet = commands.add_parser("sheet", help="draw a contact sheet")
    sheet.add_argument("--out", required=True)
    sheet.add_argument("--rgb-only", action="store_true")
    sheet.add_argument("--columns", type=int, default=1, help="rooms beside each other")
    check = commands.add_parser("check", help="agreement between views, and how often each class occurs")
    pack = commands.add_parser("pack", help="write tar shards")
    pack.add_argument("--out", required=True)
    pack.add_argument("--shard-mb", type=float, default=40)
    for command in (sheet, check, pack):
        command.add_argument("--rooms", required=True, help="folder that `make` wrote")
        command.add_argument("--first", type=int, default=0)
        command.add_argument("--count", type=int, default=0, help="0 = all")
    return parser.parse_args(words)


def main():
    options = parse()
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # so that `dataset` is found as a package
    if options.command == "make":
        # before Blender starts its threads: one of them spins while it waits, and must not do so beside the one that works
        if options.core is not None:
            os.sched_setaffinity(0, {options.core})
        if options.nice:
            os.nice(options.nice)
        try:
            from dataset import making
        except ModuleNotFoundError as error:
            raise SystemExit(f"'{error.name}' is missing: run this with .venv-dataset, see scripts/environments.py") from error
        making.make(options)
        return 0
    from dataset import folders

    rooms = folders.list_rooms(options.rooms, options.first, options.count)
    if not rooms:
        print(f"There is no room in {options.rooms}.", file=sys.stderr)
        return 1
    if options.command == "sheet":
        folders.sheet(rooms, options.out, options.rgb_only, options.columns)
    elif options.command == "check":
        folders.check(rooms)
    else:
        folders.pack(rooms, Path(options.out), options.shard_mb)
    return 0


if __name__ == "__main__":
    sys.exit(main())
