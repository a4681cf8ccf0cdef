# SPDX-License-Identifier: GPL-3.0-or-later
"""The set-up with the real uv: a small package from an index in a folder, and what can go wrong on the way."""

import hashlib
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import bpy
import pytest
from splatonym.addon import connection, jobs, preferences, setup
from splatonym.addon.setup import builds, environments, state, steps
from splatonym.core.errors import NotAvailable
from splatonym.core.wire.errors import NoInterpreter

ROOT = Path(__file__).resolve().parents[2]
CHECK = """
import json, thing
print(json.dumps({"stage": "look", "fraction": 0.5}))
print(json.dumps({"python": "3.11.0", "fit": thing.SIZE > 0, "lacks": [] if thing.SIZE else ["size"], "without": []}))
"""


@pytest.fixture(scope="module")
def uv():
    """The project's own uv, which every environment here was made with."""
    found = sorted((ROOT / ".tools").glob("uv-*/bin/uv*"))
    found = [path for path in found if path.name in ("uv", "uv.exe")]
    if not found:
        pytest.skip("no uv in .tools: run python3 scripts/environments.py")
    return found[-1]


def make_index(folder, size):
    """A package index in a folder, with the package 'thing' in it, so and so large."""
    page = folder / "simple" / "thing"
    page.mkdir(parents=True, exist_ok=True)
    name = "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(page / name, "w") as wheel:
        about = "thing-1.0.dist-info"
        wheel.writestr("thing.py", f"SIZE = {size}\n")
        wheel.writestr("thing.bin", bytes(size))
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "".join(f"{n},,\n" for n in [*wheel.namelist(), f"{about}/RECORD"]))
    digest = hashlib.sha256((page / name).read_bytes()).hexdigest()
    (page / "index.html").write_text(f'<!DOCTYPE html><a href="{name}#sha256={digest}">{name}</a>')
    return (folder / "simple").as_uri()


@pytest.fixture
def plan(uv, tmp_path, monkeypatch):
    """A plan for the small package, with a uv on PATH and no downloads of Python."""
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    for name in ("server.in", "server.txt"):
        (requirements / name).write_text("thing==1.0\n")
    (requirements / "uv.txt").write_text((ROOT / "requirements" / "uv.txt").read_text())
    (tmp_path / "check.py").write_text(CHECK)
    real = Path(sys.executable).resolve().parent
    monkeypatch.setenv("PATH", f"{uv.parent}:{real}:/usr/bin:/bin")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", make_index(tmp_path, 100))
    build = builds.Build("index", "asked for")
    return steps.Plan(tmp_path / "user" / "setup", requirements, tmp_path / "check.py", "0.1.0", build)


def nothing_is_there(plan):
    assert environments.find(plan.base, environments.fingerprint(plan.requirements)) is None
    assert not plan.folder.exists()


def test_the_set_up_makes_an_environment_and_a_second_one_replaces_it(plan):
    told = []
    made = jobs.run_to_end(steps.set_up(plan), told.append)
    assert [step.stage for step in told if step.stage] == sorted(
        (step.stage for step in told), key=["Prepare", "uv", "Python", "Packages", "Check"].index
    )
    assert environments.find(plan.base, made.requirements) == made and made.interpreter.exists()
    out = subprocess.run(
        [made.interpreter, "-c", "import thing; print(thing.SIZE)"], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "100"
    assert "== ready" in plan.log.read_text()
    (plan.requirements / "server.txt").write_text("thing==1.0 # of a later version\n")
    newer = jobs.run_to_end(steps.set_up(plan))
    assert newer.folder != made.folder and environments.find(plan.base, newer.requirements) == newer
    assert not made.folder.exists(), "the older environment went"
    assert steps.remove(plan.base) >= 0
    assert environments.find(plan.base, newer.requirements) is None
    assert [path.name for path in plan.base.iterdir()] == [steps.LOCK]


def test_without_network_it_says_so_and_the_next_attempt_goes_on(plan, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # a port where nobody listens
        with monkeypatch.context() as patch:
            patch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{closed.getsockname()[1]}/simple")
            with pytest.raises(NotAvailable, match="could not be downloaded") as failed:
                jobs.run_to_end(steps.set_up(plan))
    assert failed.value.repair == "splatonym.setup_server" and "connection" in failed.value.hint
    nothing_is_there(plan)
    assert jobs.run_to_end(steps.set_up(plan)).interpreter.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_cancelled_in_the_middle_no_process_and_no_environment_is_left(plan, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes connections and never answers
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        work = steps.set_up(plan)
        until = time.monotonic() + 60
        while not [line for line in running(plan.base) if "install" in line]:
            assert time.monotonic() < until
            next(work)
            time.sleep(0.01)
        work.close()
    while running(plan.base):  # what was killed takes a moment to vanish
        assert time.monotonic() < until
        time.sleep(0.01)
    nothing_is_there(plan)


def running(base):
    """The command lines of processes that have to do with a folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(base) in line]


def test_a_full_disk_is_said(plan, tmp_path, monkeypatch):
    small = tmp_path / "small"
    small.mkdir()
    if (
        sys.platform != "linux"
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", small], capture_output=True).returncode
    ):
        pytest.skip("a small file system cannot be mounted here: that needs Linux and root")
    try:
        monkeypatch.setenv("UV_DEFAULT_INDEX", make_index(tmp_path, 20 << 20))
        tight = steps.Plan(small, plan.requirements, plan.check, plan.version, plan.build)
        with pytest.raises(NotAvailable, match="is full") as failed:
            jobs.run_to_end(steps.set_up(tight))
        assert "Make room" in failed.value.hint
        nothing_is_there(tight)
        known = steps.Plan(
            small / "new", plan.requirements, plan.check, plan.version, builds.Build("index", "", download=20 << 20)
        )
        with pytest.raises(NotAvailable, match="free"):
            jobs.run_to_end(steps.set_up(known))
    finally:
        time.sleep(0.2)  # the thread that takes the rubbish away
        subprocess.run(["umount", "--lazy", small], check=True)


def test_an_environment_that_is_not_fit_does_not_count(plan, monkeypatch, tmp_path):
    monkeypatch.setenv("UV_DEFAULT_INDEX", make_index(tmp_path, 0))
    with pytest.raises(NotAvailable, match="lacks size"):
        jobs.run_to_end(steps.set_up(plan))
    nothing_is_there(plan)


def test_what_works_stays_until_the_new_one_does(plan, monkeypatch, tmp_path):
    made = jobs.run_to_end(steps.set_up(plan))
    good = plan.check.read_text()
    plan.check.write_text(good.replace("thing.SIZE > 0", "False"))
    with pytest.raises(NotAvailable, match="cannot run"):
        jobs.run_to_end(steps.set_up(plan))
    assert environments.find(plan.base, made.requirements) == made and made.interpreter.exists()
    plan.check.write_text(good)
    again = jobs.run_to_end(steps.set_up(plan))
    assert again.folder != made.folder and not made.folder.exists()
    assert jobs.run_to_end(steps.set_up(plan)).folder == made.folder, "the two names take turns"


def test_the_small_set_up_from_the_real_index(plan, monkeypatch):
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    for name in ("server.in", "server.txt"):
        (plan.requirements / name).write_text("wcwidth==0.9.4\n")
    plan.check.write_text(CHECK.replace("thing.SIZE", "1").replace("thing", "wcwidth"))
    try:
        made = jobs.run_to_end(steps.set_up(plan))
    except NotAvailable as error:
        if "could not be downloaded" not in error.message:
            raise
        pytest.skip(error.message)
    assert made.interpreter.exists()


@pytest.fixture
def elsewhere(addon, tmp_path, monkeypatch):
    """The registered add-on with a set-up folder of its own, which is empty."""
    monkeypatch.setattr(state, "base", lambda: tmp_path / "setup")
    (tmp_path / "setup").mkdir()
    monkeypatch.setattr(preferences, "ROOT", tmp_path)  # no checkout's .venv-server
    monkeypatch.delenv(preferences.INTERPRETER_VARIABLE)
    setup.refresh()
    yield tmp_path / "setup"
    setup.refresh()


def test_without_a_server_the_error_offers_the_set_up(elsewhere):
    assert not setup.is_ready()
    with pytest.raises(NotAvailable) as failed:
        connection.client()
    assert failed.value.repair == "splatonym.setup_server"
    assert bpy.types.SPLATONYM_PT_welcome.poll(bpy.context) and not bpy.types.SPLATONYM_PT_server.poll(bpy.context)


def test_without_online_access_nothing_is_downloaded(elsewhere):
    bpy.context.preferences.system.use_online_access = False
    with pytest.raises(RuntimeError, match="not allowed to go online"):
        bpy.ops.splatonym.setup_server()
    assert jobs.state.error.repair == "splatonym.allow_online" and jobs.state.place == "setup"
    assert bpy.ops.splatonym.allow_online() == {"FINISHED"} and bpy.app.online_access and jobs.state.error is None
    bpy.context.preferences.system.use_online_access = False


def test_the_operators_set_up_say_what_is_old_and_remove(elsewhere, plan, monkeypatch):
    monkeypatch.setattr(state, "REQUIREMENTS", plan.requirements)
    monkeypatch.setattr(state, "CHECK", plan.check)
    bpy.context.preferences.system.use_online_access = True
    try:
        assert bpy.ops.splatonym.setup_server(build="index") == {"FINISHED"}
        known = setup.status()
        assert setup.is_ready() and known.environment is not None and "is set up" in jobs.state.message
        assert preferences.find_interpreter() == known.interpreter == known.environment.interpreter
        assert bpy.ops.splatonym.repair_server() == {"FINISHED"} and "can run" in jobs.state.message
        (known.environment.folder / "lib").rename(known.environment.folder / "gone")
        assert bpy.ops.splatonym.repair_server() == {"FINISHED"} and "is set up" in jobs.state.message
        (plan.requirements / "server.txt").write_text("thing==1.0 # of a later version\n")
        state.wanted.cache_clear()
        setup.refresh()
        assert setup.is_ready() and setup.status().outdated
        assert bpy.types.SPLATONYM_PT_welcome.poll(bpy.context), "which says so, and offers the update"
        assert bpy.ops.splatonym.setup_server(build="index") == {"FINISHED"} and not setup.status().outdated
        assert bpy.ops.splatonym.remove_server() == {"FINISHED"} and not setup.is_ready()
    finally:
        bpy.context.preferences.system.use_online_access = False
        state.wanted.cache_clear()


def test_an_existing_python_is_checked_first(elsewhere, server_python, tmp_path, monkeypatch):
    old = sorted((Path.home() / ".pyenv" / "versions").glob("3.[6-9].*/bin/python"))
    no_python = tmp_path / "no python"
    no_python.write_text("#!/bin/sh\necho hello\n")
    no_python.chmod(0o755)
    cases = {sys.executable: "lacks torch", str(no_python): "not a Python", str(tmp_path / "nowhere"): "There is no Python"}
    cases |= {str(path): "Python 3.11 or newer" for path in old[:1]}
    for path, words in cases.items():
        with pytest.raises(RuntimeError, match=words):
            bpy.ops.splatonym.use_existing_python(filepath=path)
        assert not setup.is_ready()
    monkeypatch.setenv(preferences.INTERPRETER_VARIABLE, "")  # what the operator sets is taken back after the test
    assert bpy.ops.splatonym.use_existing_python(filepath=str(server_python.parent.parent)) == {"FINISHED"}
    assert setup.is_ready() and preferences.find_interpreter() == server_python


def test_a_python_that_cannot_run_the_server_offers_the_set_up(addon, monkeypatch, tmp_path):
    monkeypatch.setenv(preferences.INTERPRETER_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(NoInterpreter) as failed:
        connection.client()
    assert failed.value.repair == "splatonym.setup_server" and not setup.is_ready()
    monkeypatch.setenv(preferences.INTERPRETER_VARIABLE, sys.executable)
    connection.client()  # starts, but lacks torch
    with pytest.raises((NoInterpreter, NotAvailable)) as failed:
        for _ in range(600):
            connection.check()
            time.sleep(0.05)
    assert failed.value.repair == "splatonym.setup_server"
