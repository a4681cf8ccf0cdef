# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting the server up, without a network: which build, which environment, what a failed program means, what is there after a cancel."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from splatonym.addon import jobs
from splatonym.addon.jobs import Step
from splatonym.addon.setup import builds, environments, locking, processes, sentences, state, steps
from splatonym.addon.setup.environments import Environment
from splatonym.core.errors import NotAvailable

ROOT = Path(__file__).resolve().parents[2]
SIZES = ROOT / "addon" / "setup" / "sizes.json"


@pytest.mark.parametrize(
    ("wanted", "where", "cuda", "name"),
    [
        ("auto", "linux-x86_64", None, "cpu"),
        ("auto", "linux-x86_64", 13000, "index"),
        ("auto", "linux-x86_64", 12040, "cu126"),
        ("auto", "linux-x86_64", 11080, "cpu"),
        ("auto", "linux-arm64", 12040, "cpu"),
        ("index", "linux-x86_64", None, "index"),
        ("cpu", "linux-x86_64", 13000, "cpu"),
        ("auto", "windows-x86_64", None, "index"),
        ("auto", "windows-x86_64", 13010, "cu130"),
        ("cpu", "windows-x86_64", 13010, "index"),
        ("auto", "macos-arm64", None, "index"),
        ("cpu", "macos-arm64", None, "index"),
    ],
)
def test_the_build_follows_the_driver(wanted, where, cuda, name):
    build = builds.choose(wanted, where, cuda, SIZES)
    assert build.name == name and build.reason
    if name == "index":
        assert build.download and not build.about
    if name.startswith("cu"):
        assert build.download is None, "nobody measured it"


def test_a_mac_with_intel_is_told_so():
    with pytest.raises(NotAvailable, match="Intel"):
        builds.choose("auto", "macos-x86_64", None, SIZES)


def test_this_machine_is_one_that_was_measured_or_has_no_size():
    build = builds.choose("auto", builds.machine(), builds.cuda_of_driver(), SIZES)
    assert build.download is None or builds.human(build.download).endswith(("MB", "GB"))


def test_sizes_are_of_the_requirements_that_ship():
    content = b"\0".join((ROOT / "requirements" / name).read_bytes() for name in ("server.in", "server.txt"))
    known = json.loads(SIZES.read_text())["requirements"]
    assert known == hashlib.sha256(content).hexdigest()[:16] == environments.fingerprint(ROOT / "requirements"), (
        "requirements changed: run scripts/measure_downloads.py"
    )


def test_another_build_brings_its_own_cuda():
    pinned = (ROOT / "requirements" / "server.txt").read_text()
    assert builds.constraints(pinned, "index") == pinned
    left = builds.constraints(pinned, "cpu")
    assert "nvidia" not in left and "triton" not in left and "cuda" not in left
    assert "torch==2" in left and "numpy==" in left


def finished(base, requirements, version="0.1.0", name="x"):
    folder = base / environments.FOLDER / name
    python = environments.interpreter_of(folder)
    python.parent.mkdir(parents=True)
    python.touch()
    made = Environment(folder, version, requirements, "cpu", "3.11.7")
    environments.stamp(made)
    return made


def test_an_environment_counts_only_with_its_stamp(tmp_path):
    made = finished(tmp_path, "wanted")
    assert environments.find(tmp_path, "wanted") == made
    (made.folder / environments.STAMP).write_text('{"version": "0.1')
    assert environments.find(tmp_path, "wanted") is None
    (made.folder / environments.STAMP).unlink()
    assert environments.find(tmp_path, "wanted") is None


def test_an_environment_outlives_an_upgrade_of_blender(tmp_path):
    rest = Path("extensions", ".user", "user_default", "splatonym", "setup")
    new, old, older = (tmp_path / version / rest for version in ("5.2", "5.1", "4.10"))
    finished(older, "wanted")
    made = finished(old, "wanted")
    new.mkdir(parents=True)
    assert environments.find(new, "wanted") == made, "the newest Blender's first"
    own = finished(new, "of another version", "0.0.9")
    assert environments.find(new, "wanted") == made, "one that fits goes before one of one's own"
    assert environments.find(new, "nobody has these") == own
    assert environments.find(tmp_path / "no version" / "setup", "wanted") is None
    assert environments.find(tmp_path / "gone" / "5.2" / "setup", "wanted") is None, "a folder that cannot be read"


def script(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(text)
    return [sys.executable, path]


def test_a_program_is_read_logged_and_its_end_told(tmp_path):
    log = tmp_path / "log"
    seen = []
    command = script(tmp_path, "print('one'); print('two')")
    work = processes.run(command, log, Step("S", 0.0), read=lambda line, step: seen.append(line) or Step("S", 0.5, line))
    assert jobs.run_to_end(work) == ["one", "two"] == seen
    assert "program.py\none\ntwo\n" in log.read_text()
    with pytest.raises(processes.ProgramFailed) as failed:
        jobs.run_to_end(processes.run(script(tmp_path, "import sys; sys.exit('why')"), log, Step("S", 0.0)))
    assert failed.value.code == 1 and failed.value.lines == ["why"]
    with pytest.raises(processes.ProgramFailed, match="127"):
        jobs.run_to_end(processes.run([tmp_path / "nowhere"], log, Step("S", 0.0)))


def alive(pid):
    """Whether a process runs; a zombie, whom nobody has buried yet, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_cancel_ends_the_program_and_its_children(tmp_path):
    child = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    work = processes.run(script(tmp_path, f"{child}; print(p.pid, flush=True); p.wait()"), tmp_path / "log", Step("S", 0.0))
    next(work)
    until = time.monotonic() + 20
    while not (lines := (tmp_path / "log").read_text().splitlines()[1:]) and time.monotonic() < until:
        next(work)
        time.sleep(0.01)
    grandchild = int(lines[0])
    assert alive(grandchild)
    work.close()
    while alive(grandchild) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive(grandchild)


@pytest.mark.parametrize(
    ("said", "words", "hint"),
    [
        ("error: Failed to write\n  cause: No space left on device (os error 28)", "is full", "goes on"),
        ("error: Request failed after 3 retries\n  cause: dns error\n  cause: Name or service not known", "not be downloaded", "connection"),
        ("error: No solution found\n  cause: torch==2.11.0 has no wheels with a matching platform tag", "not there for", "point|Point"),
        ("error: something else", "something else", "log"),
    ],
)  # fmt: skip
def test_what_a_failed_program_means(said, words, hint):
    error = sentences.explain(processes.ProgramFailed(["uv"], 2, said.splitlines()), Path("/x/setup.log"))
    assert words in error.message and error.repair == "splatonym.setup_server"
    assert any(word in error.hint for word in hint.split("|"))


def test_without_pytorchs_index_the_ordinary_build_is_offered():
    error = processes.ProgramFailed(["uv"], 2, ["error: x", "  cause: dns error"])
    assert "ordinary build" in sentences.explain(error, Path("/x/setup.log"), "cpu").hint


def test_progress_is_read_from_what_uv_says(tmp_path):
    told = steps.Downloads(builds.Build("index", "", download=200 << 20), tmp_path)
    step = Step("Packages", 0.0)
    for line in ("Resolved 54 packages in 500ms", "Downloading torch (100.0MiB)", "Downloading numpy (20.0MiB)"):
        step = told.read(line, step)
    assert told.look(step).text.endswith("torch, numpy") and told.look(step).fraction == 0.0
    told.read(" Downloaded torch", step)
    assert told.look(step).fraction == pytest.approx(0.45) and "torch" not in told.look(step).text
    assert told.read("Installed 54 packages in 2.4s", step) == Step("Packages", 0.95, "54 packages")


def test_one_set_up_at_a_time(tmp_path):
    with (
        locking.locked(tmp_path / "lock"),
        pytest.raises(NotAvailable, match="Another Blender"),
        locking.locked(tmp_path / "lock"),
    ):
        pass
    with locking.locked(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("taken", ["setup", "setup/setup.lock", "setup/setup.log"])
def test_a_folder_that_cannot_be_written_is_said(tmp_path, taken):
    base = tmp_path / "setup"
    if taken == "setup":
        base.write_text("a file")
    else:
        (tmp_path / taken).mkdir(parents=True)
    plan = steps.Plan(base, ROOT / "requirements", ROOT / "server" / "fit.py", "0", builds.Build("cpu", ""))
    with pytest.raises(NotAvailable, match="cannot be written"):
        jobs.run_to_end(steps.set_up(plan))


def test_a_path_that_the_system_refuses_is_not_there(monkeypatch):
    monkeypatch.setenv("SPLATONYM_SERVER_PYTHON", "x" * 300)
    state.refresh()
    known = state.status()
    state.refresh()
    assert known.interpreter is not None and not known.there


def test_fit_speaks_to_any_python(tmp_path):
    """Python 3.8 where one is installed; every machine has the one that runs this, which has no torch."""
    old = Path.home() / ".pyenv" / "versions"
    pythons = [*sorted(old.glob("3.[6-9].*/bin/python"))[:2], Path(sys.executable)]
    for python in pythons:
        found = jobs.run_to_end(steps.check(python, ROOT / "server" / "fit.py", tmp_path / "log"))
        assert not found["fit"]
        assert "Python 3.11 or newer" in found["lacks"] or "torch" in found["lacks"]


def test_the_zip_holds_what_the_set_up_needs(tmp_path):
    import zipfile

    subprocess.run([sys.executable, ROOT / "scripts" / "package.py", "-o", tmp_path], check=True, capture_output=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.zip"))).namelist())
    assert {"requirements/server.in", "requirements/server.txt", "requirements/uv.txt", "server/fit.py"} <= names
    assert {"addon/setup/sizes.json", "addon/demo/room.blend", "addon/demo/ATTRIBUTION.md"} <= names


def test_uv_is_pinned_once():
    wanted = (ROOT / "requirements" / "uv.txt").read_text().strip()
    assert wanted.startswith("uv==") and os.linesep not in wanted
    assert wanted.partition("==")[2] not in (ROOT / "scripts" / "environments.py").read_text()
