# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the CPU rasterizer has: threads, memory that is used again, kernels on disk, and lanes of another length."""

import gc
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_scenes import camera, cloud
from hypothesis import given
from hypothesis import strategies as st
from splatonym.core.errors import Cancelled, InvalidInput
from splatonym.server.job import Job
from splatonym.server.rasterize.choice import choose
from splatonym.server.rasterize.contract import RasterSettings

pytest.importorskip("numba")
from splatonym.server.rasterize.cpu import Cpu, compiling, crew, frame, splatting

SETTINGS = RasterSettings()


@pytest.fixture(scope="module")
def scene():
    return cloud(11, 3000, "mixed"), camera(130, 70)


def everything(backend, g, cam):
    """The answers to all questions, as one list of arrays."""
    drawn = backend.prepare(g, cam, SETTINGS, Job())
    rng = np.random.default_rng(0)
    out = drawn.render(normals=True)
    sums = drawn.register(rng.random((cam.height, cam.width, 5), np.float32))
    ids = drawn.register_ids(rng.integers(0, 9, (cam.height, cam.width)).astype(np.int32))
    heaviest = drawn.topk(3)
    tensors = [torch.tensor(array, requires_grad=True) for array in (g.means, g.quats, g.scales, g.opacities, g.rgb)]
    pictures = backend.rasterize(*tensors, [cam])
    (pictures.features.sum() + pictures.depth.sum()).backward()
    grads = [tensor.grad.numpy() for tensor in tensors]
    shares = drawn.dominant_id((np.arange(len(g)) % 7).astype(np.int32))
    return [
        out.features,
        out.depth,
        out.alpha,
        out.normals,
        *sums,
        ids.gaussian,
        ids.id,
        ids.weight,
        heaviest.ids,
        *shares,
        *grads,
    ]


def test_deterministic_means_the_same_bits(scene):
    backend = Cpu(threads=3, deterministic=True)
    first = everything(backend, *scene)
    for _ in range(4):
        assert all(np.array_equal(a, b) for a, b in zip(first, everything(backend, *scene), strict=True))


@pytest.mark.parametrize("threads", [1, 2, 5, 16])
def test_any_number_of_threads_gives_the_same_picture(scene, threads):
    one, many = everything(Cpu(threads=1), *scene), everything(Cpu(threads=threads), *scene)
    for a, b in zip(one, many, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 2e-5 * max(np.abs(a).max(), 1)
    assert np.array_equal(one[0], many[0])  # a pixel is summed by one thread, in order


def test_more_threads_than_gaussians():
    few = cloud(1, 2)
    assert np.array_equal(
        Cpu(threads=8).prepare(few, camera(), SETTINGS, Job()).render().features,
        Cpu(threads=1).prepare(few, camera(), SETTINGS, Job()).render().features,
    )


def test_python_threads_may_render_at_once(scene):
    backend = choose("cpu")
    expected = backend.prepare(*scene, SETTINGS, Job()).render().features
    wrong = []

    def work():
        for _ in range(10):
            if not np.array_equal(backend.prepare(*scene, SETTINGS, Job()).render().features, expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_renders_with_threads_of_its_own(scene):
    backend = choose("cpu")
    expected = backend.prepare(*scene, SETTINGS, Job()).render().features
    child = os.fork()
    if child == 0:
        right = np.array_equal(backend.prepare(*scene, SETTINGS, Job()).render().features, expected)
        os._exit(0 if right else 1)
    deadline = time.monotonic() + 30
    done, status = os.waitpid(child, os.WNOHANG)
    while not done and time.monotonic() < deadline:
        time.sleep(0.05)
        done, status = os.waitpid(child, os.WNOHANG)
    if not done:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert done and os.waitstatus_to_exitcode(status) == 0


def test_results_that_are_held_are_not_written_over(scene):
    g, cam = scene
    backend = Cpu(threads=2)
    held = backend.prepare(g, cam, SETTINGS, Job()).render()
    corner, copies = held.features[3:9, 4:20, 1], [held.features.copy(), held.depth.copy()]
    expected = corner.copy()
    rest = held.depth
    del held
    gc.collect()
    for k in range(5):
        backend.prepare(replace(g, opacities=g.opacities * 0.1 * k), cam, SETTINGS, Job()).render()
    assert np.array_equal(corner, expected) and np.array_equal(rest, copies[1])


def test_memory_comes_back_and_is_bounded(monkeypatch):
    monkeypatch.setattr(crew, "_KEPT_MOST", 5 << 20)
    memory = crew.Memory()
    first = memory.take((1 << 18,))
    address = first.ctypes.data
    assert address % 64 == 0
    view = first[10:]
    del first
    assert memory.take((1 << 18,)).ctypes.data != address  # the view still looks at it
    del view
    assert address in {memory.take((1 << 18,)).ctypes.data for _ in range(3)}
    many = [memory.take((1 << 18,)) for _ in range(20)]
    del many
    assert sum(buffer.nbytes for buffer in memory._free) <= 5 << 20


def test_a_cancel_stops_in_the_middle_of_a_picture():
    g = cloud(2, 400)
    wide = replace(g, scales=np.full_like(g.scales, 3.0), opacities=np.full_like(g.opacities, 0.02))
    job = Job()
    backend = Cpu(threads=2)
    backend.ready(Job())
    drawn = backend.prepare(wide, camera(4096, 4096), SETTINGS, job)
    started = time.monotonic()
    threading.Timer(0.2, job.cancel).start()
    with pytest.raises(Cancelled):
        while time.monotonic() < started + 60:
            drawn.register(np.ones((4096, 4096, 8), np.float32))
    assert time.monotonic() - started < 20  # far less; what matters is that it did not go on


@pytest.mark.parametrize("threads", [2, 8, 16])
def test_a_cancel_stops_fixed_shares_of_tiles_too(threads):
    g = cloud(2, 300)
    wide = replace(g, scales=np.full_like(g.scales, 3.0), opacities=np.full_like(g.opacities, 0.02))
    job = Job()
    drawn = Cpu(threads=threads, deterministic=True).prepare(wide, camera(1024, 1024), SETTINGS, job)
    threading.Timer(0.1, job.cancel).start()
    with pytest.raises(Cancelled):
        for _ in range(1000):
            drawn.register(np.ones((1024, 1024, 8), np.float32))


@pytest.mark.parametrize("scale", [1e12, 1e18, 1e24, 1e30])
@pytest.mark.parametrize("far", [0, 1e6, 1e30])
def test_splats_larger_than_numbers_are_written_nowhere_else(scale, far):
    g = cloud(4, 200, "needles")
    scales = g.scales.copy()
    scales[::2, 0] = scale
    means = g.means.copy()
    means[::4] *= np.float32([max(far, 1), 1, 1])
    out = Cpu(threads=2).prepare(replace(g, means=means, scales=scales), camera(130, 70), SETTINGS, Job()).render()
    assert np.isfinite(out.alpha).all() and out.alpha.max() <= 1 + 1e-6


def test_a_needle_far_beyond_the_picture_is_in_all_its_tiles():
    """Half a million pixels from its centre, float32 would lose hundredths of a pixel of the tiles that it touches."""
    rng = np.random.default_rng(0)
    count = 60
    directions = rng.normal(size=(count, 3)) * [1, 1, 0]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    through = np.column_stack([rng.uniform(-1, 1, (count, 2)), np.full(count, 2.0)])
    half = np.arctan2(directions[:, 1], directions[:, 0]) / 2
    g = replace(
        cloud(1, count),
        means=(through + directions * rng.uniform(500, 3000, (count, 1))).astype(np.float32),
        quats=np.column_stack([np.cos(half), 0 * half, 0 * half, np.sin(half)]).astype(np.float32),
        scales=np.tile(np.float32([2000, 0.01, 0.01]), (count, 1)),
        opacities=np.full(count, 0.3, np.float32),
    )
    expected = choose("reference").prepare(g, camera(300, 200), SETTINGS, Job()).render()
    found = choose("cpu").prepare(g, camera(300, 200), SETTINGS, Job()).render()
    assert found.alpha.max() > 0.3
    error = np.abs(found.alpha - expected.alpha)
    assert np.quantile(error, 0.999) < 1e-5  # a pixel at 1/255 itself may fall on either side


def test_a_tensor_that_was_written_to_since_is_noticed(scene):
    g, cam = scene
    tensors = [torch.tensor(array, requires_grad=True) for array in (g.means, g.quats, g.scales, g.opacities, g.rgb)]
    pictures = choose("cpu").rasterize(*tensors, [cam])
    with torch.no_grad():
        tensors[2].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        pictures.alpha.sum().backward()


@pytest.mark.parametrize("name", ["features", "background", "image"])
def test_numbers_too_large_for_float32_are_refused(scene, name):
    g, cam = scene
    drawn = choose("cpu").prepare(g, cam, SETTINGS, Job())
    with pytest.raises(InvalidInput, match="finite"):
        if name == "features":
            drawn.render(np.full((len(g), 2), 1e39))
        elif name == "background":
            drawn.render(background=np.full(3, 1e39))
        else:
            drawn.register(np.full((cam.height, cam.width, 1), 1e39))


def test_quaternions_of_another_length_are_refused_as_by_the_others(scene):
    g, cam = scene
    for name in ("cpu", "reference"):
        with pytest.raises(InvalidInput, match="unit quaternions"):
            choose(name).prepare(replace(g, quats=g.quats * np.float32(1.01)), cam, SETTINGS, Job())


@given(st.integers(0, 10**8), st.integers(1, 600), st.integers(1, 128))
def test_the_threads_sums_are_bounded(visible, channels, threads):
    at_once, working = frame.shares(visible, 7, channels, threads)
    assert 1 <= at_once <= min(channels, 32) and 1 <= working <= threads
    if visible * 4 * 8 <= frame.SUMS_MOST:
        assert working * visible * 4 * (7 + at_once) <= frame.SUMS_MOST


def test_few_channels_at_a_time_give_the_same_sums(scene, monkeypatch):
    g, cam = scene
    image = np.random.default_rng(3).random((cam.height, cam.width, 9), np.float32)
    drawn = Cpu(threads=2).prepare(g, cam, SETTINGS, Job())
    sums, weights = drawn.register(image)
    monkeypatch.setattr(frame, "SUMS_MOST", 4 * len(g) * 3)
    few, same = drawn.register(image)
    assert np.allclose(sums, few, atol=1e-5) and np.allclose(weights, same, atol=1e-5)


def test_gaussians_that_overlap_too_much_are_refused(monkeypatch, scene):
    monkeypatch.setattr(splatting, "ENTRIES_MOST", 100)
    with pytest.raises(InvalidInput, match="overlap"):
        Cpu(threads=2).prepare(*scene, SETTINGS, Job())


def test_ids_that_change_in_every_pixel_need_more_room_than_was_guessed():
    g, cam = cloud(5, 3), camera(64, 64)
    g = replace(
        g, means=g.means * 0 + np.float32([0, 0, 2]), scales=np.full_like(g.scales, 2.0), opacities=np.full(3, 0.5, np.float32)
    )
    ids = np.arange(1, 64 * 64 + 1, dtype=np.int32).reshape(64, 64)
    expected = choose("reference").prepare(g, cam, SETTINGS, Job()).register_ids(ids)
    found = choose("cpu").prepare(g, cam, SETTINGS, Job()).register_ids(ids)
    assert np.array_equal(found.id, expected.id) and np.array_equal(found.gaussian, expected.gaussian)
    assert np.allclose(found.weight, expected.weight, atol=1e-6)


@given(st.lists(st.integers(0, 2**31 - 1), max_size=40))
def test_distinct(ids):
    array = np.array(ids, np.int32)
    for some in (array, array % 100):
        known, places = frame.distinct(some)
        assert np.array_equal(known, np.unique(some)) and np.array_equal(known[places], some)


def test_no_layout_of_the_arrays_is_compiled_anew(scene):
    """A compilation in the middle of a job would be seconds that nobody announced."""
    from splatonym.server.rasterize.cpu import blending, projection

    g, cam = scene
    backend = choose("cpu")
    backend.ready(Job())
    before = len(projection.project.signatures), len(blending.blend.signatures)
    frozen = g.means.copy()
    frozen.flags.writeable = False
    odd = replace(g, means=frozen, scales=np.asfortranarray(g.scales), opacities=np.repeat(g.opacities, 2)[::2])
    features = np.asfortranarray(np.random.default_rng(0).random((len(g), 6), np.float32))
    features.flags.writeable = False
    drawn = backend.prepare(odd, cam, SETTINGS, Job())
    assert np.array_equal(drawn.render().features, backend.prepare(g, cam, SETTINGS, Job()).render().features)
    drawn.render(features[:, ::2], background=np.float64([0, 1, 2]))
    drawn.render(features.astype(np.float64))
    assert (len(projection.project.signatures), len(blending.blend.signatures)) == before


def test_kernels_are_kept_by_the_state_of_their_sources(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    folder = compiling.cache_folder()
    assert folder == compiling.cache_folder() and folder.parent.name == "kernels"
    source = tmp_path / "rasterize" / "cpu"
    source.mkdir(parents=True)
    contract = compiling.Path(compiling.__file__).parent.parent / "contract.py"
    (source.parent / "contract.py").write_bytes(contract.read_bytes())
    for path in compiling.Path(compiling.__file__).parent.glob("*.py"):
        (source / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(compiling, "__file__", str(source / "compiling.py"))
    assert compiling.cache_folder() == folder
    (source / "tiles.py").write_text((source / "tiles.py").read_text() + "\n")
    changed = compiling.cache_folder()
    assert changed != folder
    (source.parent / "contract.py").write_text("ALPHA_LEAST = 1 / 254")
    assert compiling.cache_folder() not in (folder, changed)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    assert compiling.cache_folder().parent == tmp_path / "mine"


OTHER_LANES = """
import json, sys
import llvmlite.binding as binding
import numba
import numpy as np
numba.njit(lambda: 0)()  # numba has asked for the processor: code is made for this one
sys.path[:0] = {paths!r}
import splatonym.server.rasterize.contract
real = binding.get_host_cpu_features
binding.get_host_cpu_features = lambda: {{"avx512f": not real().get("avx512f")}}
import splatonym.server.rasterize.cpu.vectors
binding.get_host_cpu_features = real
from drawn_scenes import camera, cloud
from splatonym.server.job import Job
from splatonym.server.rasterize.contract import RasterSettings
from splatonym.server.rasterize.cpu import Cpu, vectors
drawn = Cpu(threads=2).prepare(cloud(11, 3000, "mixed"), camera(130, 70), RasterSettings(), Job())
np.save(sys.argv[1], drawn.render().features)
print(json.dumps(vectors.LANES))
"""


def test_the_other_length_of_vectors_gives_the_same_picture(scene, tmp_path):
    """Vectors have 16 lanes with AVX-512 and 8 without: this machine has one of them, the code is for both."""
    from splatonym.server.rasterize.cpu import vectors

    program = OTHER_LANES.format(paths=[path for path in sys.path if path])
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "picture.npy"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kernels")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert {json.loads(run.stdout), vectors.LANES} == {8, 16}
    expected = choose("cpu").prepare(*scene, SETTINGS, Job()).render().features
    assert np.abs(np.load(tmp_path / "picture.npy") - expected).max() < 1e-5
