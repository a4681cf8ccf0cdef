# SPDX-License-Identifier: GPL-3.0-or-later
"""Which models there are and where their weights lie. Nothing is loaded here: files of one byte stand for weights."""

import pytest
from splatonym.core.errors import InvalidFile, NotAvailable
from splatonym.server.semantics.clip import sources


@pytest.fixture(autouse=True)
def nothing_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def folder_of(folder, *files):
    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text('{"model_cfg": {"text_cfg": {}, "vision_cfg": {}}}')
    for file in files:
        (folder / file).write_bytes(b"?")
    return folder


def test_auto_is_the_default_where_it_is_here(monkeypatch):
    name, (note,) = sources.resolve(sources.AUTO)
    assert name == sources.TINY and f"'{sources.DEFAULT}'" in note and "are not on this machine" in note
    assert "(598 MB, licence MIT)" in note and sources.resolve("ViT-B-32/openai") == ("ViT-B-32/openai", [])
    monkeypatch.setattr(sources, "_cached", lambda repository, file: "/somewhere")
    assert sources.resolve(sources.AUTO) == (sources.DEFAULT, [])


def test_the_listing_says_what_is_here(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "TINY_FOLDER", tmp_path / "tiny")
    assert not any(one["here"] for one in sources.listing())
    folder_of(tmp_path / "tiny", "open_clip_model.safetensors")
    found = sources.listing()
    assert [one["name"] for one in found if one["here"]] == [sources.TINY] and found[0]["megabytes"] == 14
    assert all(one["licence"] and one["note"] and sources.hub_place(one["name"]) for one in found[1:])


def test_weights_lie_in_a_folder_in_a_file_or_in_the_hubs_cache(monkeypatch, tmp_path):
    folder = folder_of(tmp_path / "a=b", "aaa.bin", "model.pth", "model.safetensors")
    found = sources.locate(str(folder))
    assert found.weights == folder / "model.safetensors" and found.architecture == f"local-dir:{folder}" and not found.tag
    monkeypatch.chdir(tmp_path)
    assert sources.locate("a=b").weights == found.weights
    assert sources.locate("ViT-B-16=a=b/aaa.bin") == sources.Source("ViT-B-16=a=b/aaa.bin", "ViT-B-16", folder / "aaa.bin")
    assert sources.locate(sources.DEFAULT) is None
    monkeypatch.setattr(sources, "_cached", lambda repository, file: f"/{repository}/{file}" if file.endswith(".bin") else None)
    found = sources.locate(sources.DEFAULT)
    assert (found.architecture, found.tag) == ("ViT-B-16", "laion2b_s34b_b88k")
    assert found.weights.as_posix() == "/laion/CLIP-ViT-B-16-laion2B-s34B-b88K/open_clip_pytorch_model.bin"


def test_what_cannot_be_is_said(monkeypatch, tmp_path):
    with pytest.raises(NotAvailable, match="There is no vision-language model 'ViT-Z-99'"):
        sources.locate("ViT-Z-99/laion")
    with pytest.raises(NotAvailable, match="There are no weights 'nobody'") as caught:
        sources.locate("ViT-B-16/nobody")
    assert "laion2b_s34b_b88k" in caught.value.hint
    with pytest.raises(InvalidFile, match="no open_clip_config"):
        sources.locate(str(tmp_path))
    with pytest.raises(InvalidFile, match="holds no weights"):
        sources.locate(str(folder_of(tmp_path / "empty")))
    with pytest.raises(InvalidFile, match="There is no file"):
        sources.locate(f"ViT-B-16={tmp_path / 'none.safetensors'}")


def test_what_is_missing_is_said_with_its_size_and_how_to_get_it():
    error = sources.missing(sources.DEFAULT)
    assert isinstance(error, NotAvailable) and "(598 MB, licence MIT) are not on this machine" in error.message
    assert "splatonym models --fetch ViT-B-16/laion2b_s34b_b88k --allow-download" in error.hint and "Blender" in error.hint
    assert isinstance(sources.missing(sources.TINY), InvalidFile)
