# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights that ship: whole, small, described, and about as good as the model card says."""

from pathlib import Path

import numpy as np
import pytest
from splatonym.core.labels import preset
from splatonym.server.captures import read_capture
from splatonym.server.evaluation import evaluate
from splatonym.server.job import Job
from splatonym.server.models import weights
from splatonym.server.pipeline import PredictRequest, predict

ROOMS = Path(__file__).resolve().parents[3] / "shared/data/rooms/rooms_val.tar"
CARD = (weights.FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", weights.names())
def test_every_shipped_model_is_whole_small_and_described(name):
    trained = weights.load(name)
    assert trained.labels == preset(trained.network.config.preset)
    assert sum(p.numel() for p in trained.network.parameters()) <= 12e6
    assert (weights.FOLDER / f"{name}.safetensors").stat().st_size <= 25 << 20
    assert trained.sha256[:12] in CARD, "the model card is of other weights"


def test_the_default_model_ships():
    assert weights.DEFAULT in weights.names()


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A room and furniture that no training has seen."""
    import tarfile

    if not ROOMS.exists():
        pytest.skip("../shared/data is not here")
    folder = tmp_path_factory.mktemp("rooms")
    with tarfile.open(ROOMS) as archive:
        archive.extractall(folder, [m for m in archive.getmembers() if m.name.startswith("room_00024/")], filter="data")
    return read_capture(folder / "room_00024")


@pytest.mark.parametrize(
    ("use_depth", "psnr", "accuracy", "abs_rel"),
    [(True, 27.0, 0.75, 0.03), (False, 15.0, 0.6, 0.2)],
)
def test_an_unseen_room_comes_out_about_as_well_as_the_card_says(room, use_depth, psnr, accuracy, abs_rel):
    job, views = Job(), room.pick(["0", "2", "5", "7"]).views(Job())
    request = PredictRequest("room", views, room.labels, room.instances, "network", "network", {"use_depth": use_depth})
    result = predict(request, job)
    frames = [frame.seen for frame in evaluate(result.scene, room, views, job).frames if not frame.is_input]
    assert result.report["model_sha256"][:12] in CARD
    assert np.mean([f.psnr for f in frames]) > psnr
    assert np.mean([f.accuracy for f in frames]) > accuracy
    assert np.mean([f.depth_abs_rel for f in frames]) < abs_rel
    assert len(result.scene.gaussians) < 0.8 * sum(view.rgb[..., 0].size for view in views)
