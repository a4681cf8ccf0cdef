# SPDX-License-Identifier: GPL-3.0-or-later
"""Says of the Python that runs it whether the server can run in it, and makes it ready: rasterizers are compiled and tried.

    PYTHON -I server/fit.py

The add-on runs it by its path when it sets the server up, and on any Python that a person points to. On stdout there is one JSON object a
line: {"stage", "fraction", "text"} while it works, and last {"python", "fit", "lacks", "without"}: what the main job cannot do without, and
what it can. Its first part runs on any Python 3, so that an old one is told so.
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path


def tell(**words) -> None:  # type: ignore[no-untyped-def]
    print(json.dumps(words), flush=True)


def outcome(lacks, without=()) -> None:  # type: ignore[no-untyped-def]
    """The last line."""
    version = ".".join(str(number) for number in sys.version_info[:3])
    tell(python=version, fit=not lacks, lacks=list(lacks), without=list(without))


def package() -> str:
    """The name of the package `server`, made importable by `__main__.py`, which the server itself starts with."""
    path = Path(__file__).resolve().parent / "__main__.py"
    spec = importlib.util.spec_from_file_location("splatonym_start", str(path))
    assert spec is not None and spec.loader is not None
    start = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(start)
    return str(start.package())


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - any Python may be chosen
        outcome(["Python 3.11 or newer"])
        return
    if importlib.util.find_spec("numpy") is None:  # without which not even the checks can run
        outcome([name for name in ("torch", "numpy") if importlib.util.find_spec(name) is None])
        return
    name = package()
    doctor, job = importlib.import_module(".doctor", name), importlib.import_module(".job", name)
    checks = doctor.examine(job.Job(lambda stage, fraction, text: tell(stage=stage, fraction=fraction, text=text)))
    for check in checks:
        print(f"{check.group}: {check.name} {check.state}: {check.found} {check.repair}".rstrip(), file=sys.stderr)
    wrong = [check for check in checks if check.state != "ok"]
    needed = [check for check in wrong if check.needed]
    first = [check for check in needed if check.group in ("machine", "packages")] or needed  # the others fail for lack of these
    outcome(
        [check.name if check.state == "absent" else f"{check.name} ({check.found})" for check in first],
        [check.name for check in wrong if not check.needed and check.group == "packages" and check.name != "gsplat"],
    )


if __name__ == "__main__":
    main()
