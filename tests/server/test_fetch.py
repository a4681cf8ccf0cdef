# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching weights, from a hub of our own on 127.0.0.1 that speaks as the real one does; and that nothing else opens a connection."""

import dataclasses
import hashlib
import json
import re
import shutil
import sys
import threading
import time
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.machinery import ModuleSpec

import huggingface_hub
import open_clip
import pytest
import torch
from huggingface_hub import constants
from splatonym.core.errors import Cancelled, InvalidFile, NotAvailable
from splatonym.server.job import Job
from splatonym.server.semantics.clip import fetch, models, sources
from splatonym.server.semantics.text_labels import TextOptions, loaded

COMMIT = "5a" * 20
WEIGHTS = torch.randint(0, 256, (3_000_000,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy().tobytes()
FILE = "open_clip_model.safetensors"
SIGLIP = "ViT-B-16-SigLIP/webli"


class Hub:
    """The hub, which says what a file is and where, and beside it the storage, on another port, that has the bytes."""

    def __init__(self):
        self.files = {FILE: WEIGHTS}
        self.commit = COMMIT
        self.checksums = {}
        self.asked = []  # (server, method, file, headers)
        self.private = self.stranger = self.ranges_ignored = False
        self.pause = 0.0  # between pieces of 64 KB
        self.breaks = []  # for each request for bytes in turn: how many come, or an HTTP status; -1: none, and the connection stays
        self.goes_on = threading.Event()  # what a stalled answer waits for
        self.servers = [self._serve(kind) for kind in ("hub", "storage")]
        self.address, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in self.servers)

    def gets(self):
        return [headers.get("range") for server, method, _, headers in self.asked if method == "GET" and server == "storage"]

    def close(self):
        self.goes_on.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def _serve(hub, kind):
        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer()

            def do_GET(self):
                self.answer()

            def log_message(self, *_):
                pass

            def head(self, status, headers=(), size=0):
                self.send_response(status)
                for key, value in {"Content-Length": size, **dict(headers)}.items():
                    self.send_header(key, str(value))
                self.end_headers()

            def answer(self):
                revision, file = re.fullmatch(r"/[^/]+/[^/]+/resolve/([^/]+)/(.+)", self.path).groups()
                hub.asked.append((kind, self.command, file, {key.lower(): value for key, value in self.headers.items()}))
                content = hub.files.get(file)
                if kind == "storage":
                    self.send_bytes(content)
                elif hub.stranger:
                    self.head(200, {"Content-Type": "text/html"})
                elif hub.private:
                    self.head(401, {"X-Error-Code": "RepoNotFound"})
                elif content is None or revision not in ("main", hub.commit):
                    self.head(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": hub.commit})
                else:
                    linked = {
                        "X-Linked-Etag": f'"{hub.checksums.get(file, checksum(file, content))}"',
                        "X-Linked-Size": len(content),
                    }
                    self.head(302, {"Location": hub.storage + self.path, "X-Repo-Commit": hub.commit, **linked})

            def send_bytes(self, content):
                asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
                start = int(asked[1]) if asked and not hub.ranges_ignored else 0
                rest = content[start:]
                most = hub.breaks.pop(0) if hub.breaks else len(rest)
                if 400 <= most < 600:
                    return self.head(most)
                partly = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
                self.head(206 if start else 200, {"Accept-Ranges": "bytes", **partly}, len(rest))
                try:
                    for place in range(0, min(most, len(rest)), 65536):
                        self.wfile.write(rest[place : min(place + 65536, most)])
                        if hub.pause:
                            hub.goes_on.wait(hub.pause)
                except OSError:
                    return  # whoever asked has gone
                if most < 0:
                    hub.goes_on.wait(30)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server


def checksum(file, content):
    """sha256 of what the hub keeps apart; git's sha1 of small text files."""
    if file.endswith((".json", ".txt")):
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    one = Hub()
    for key in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(key, raising=False)
        monkeypatch.delenv(key.upper(), raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", one.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", one.address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # put back afterwards
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)  # between attempts
    huggingface_hub.close_session()
    yield one
    one.close()
    huggingface_hub.close_session()


@pytest.fixture
def account(tmp_path, monkeypatch):
    """Somebody has logged in to the hub on this machine."""
    (tmp_path / "token").write_text("hf_secret")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))


@pytest.fixture
def no_connections(monkeypatch):
    tried = []
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(f"socket.socket.{name}", lambda *given: tried.append(given) or 1 / 0)
    monkeypatch.setattr("socket.getaddrinfo", lambda *given, **more: tried.append(given) or 1 / 0)
    return tried


def heard():
    told = []
    return told, Job(lambda stage, fraction, text: told.append((fraction, text)))


def kept(tmp_path):
    """What lies in the cache's folders for content."""
    return sorted(path.name for path in (tmp_path / "cache").glob("*/blobs/*"))


# Permission


def test_without_permission_no_connection_is_opened(hub, no_connections):
    with pytest.raises(NotAvailable, match=r"'ViT-B-16/laion2b_s34b_b88k' \(598 MB, licence MIT\) are not") as caught:
        fetch.fetch(sources.AUTO, Job(), allowed=False)
    assert all(words in caught.value.hint for words in ("Blender's preferences", "--allow-download", "'tiny'"))
    assert not no_connections and not hub.asked


def test_what_the_environment_forbids_is_not_done(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NotAvailable, match="HF_HUB_OFFLINE is set"):
        fetch.fetch(sources.DEFAULT, Job(), allowed=True)
    assert not hub.asked


def test_names_that_are_none_are_said_before_anything_is_asked(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "TINY_FOLDER", tmp_path / "tiny")
    with pytest.raises(NotAvailable, match="no weights 'nobody'"):
        fetch.fetch("ViT-B-16/nobody", Job(), allowed=True)
    with pytest.raises(InvalidFile, match="no open_clip_config"):
        fetch.fetch(str(tmp_path), Job(), allowed=True)
    with pytest.raises(InvalidFile, match="which ships with Splatonym, is missing"):
        fetch.fetch(sources.TINY, Job(), allowed=True)
    assert not hub.asked


# Fetching


def test_weights_are_fetched_whole_and_found_afterwards(hub, tmp_path, account):
    hub.pause = 0.01
    told, job = heard()
    path = fetch.fetch(sources.DEFAULT, job, allowed=True)
    assert path.read_bytes() == WEIGHTS and sources.locate(sources.DEFAULT).weights == path
    assert told[0] == (0.0, f"{sources.DEFAULT}: asking the hub") and told[-1] == (1.0, f"{sources.DEFAULT}: 3 of 3 MB")
    assert len(told) > 3 and [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    assert kept(tmp_path) == [checksum(FILE, WEIGHTS)] and constants.HF_HUB_OFFLINE
    headers = [headers for _, _, _, headers in hub.asked]
    assert not any("authorization" in one for one in headers)
    assert all("splatonym" in one["user-agent"] and "torch" not in one["user-agent"] for one in headers)
    asked = len(hub.asked)
    assert fetch.fetch(sources.DEFAULT, Job(), allowed=False) == path and len(hub.asked) == asked


def test_a_broken_connection_is_taken_up_where_it_broke(hub):
    hub.breaks = [1_000_000, 700_000]
    assert fetch.fetch(sources.DEFAULT, Job(), allowed=True).read_bytes() == WEIGHTS
    first, second, third = hub.gets()
    assert first is None
    starts = [int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) for asked in (second, third)]
    assert 500_000 < starts[0] <= 1_000_000 < starts[1] <= 1_700_000


def test_another_try_goes_on_where_the_last_stopped(hub, tmp_path):
    hub.breaks = [1_000_000, 503]
    with pytest.raises(NotAvailable, match=r"could not be fetched: .*503") as caught:
        fetch.fetch(sources.DEFAULT, Job(), allowed=True)
    assert "goes on where it stopped" in caught.value.hint and sources.locate(sources.DEFAULT) is None
    (part,) = kept(tmp_path)
    had = next((tmp_path / "cache").glob("*/blobs/*")).stat().st_size
    assert part.endswith(".incomplete") and 500_000 < had <= 1_000_000
    assert fetch.fetch(sources.DEFAULT, Job(), allowed=True).read_bytes() == WEIGHTS
    assert hub.gets()[-1] == f"bytes={had}-" and kept(tmp_path) == [checksum(FILE, WEIGHTS)]


def test_a_storage_that_knows_no_ranges_sends_all_again(hub):
    hub.breaks, hub.ranges_ignored = [1_000_000], True
    assert fetch.fetch(sources.DEFAULT, Job(), allowed=True).read_bytes() == WEIGHTS


def test_what_a_larger_older_file_left_is_not_used(hub, tmp_path):
    blobs = tmp_path / "cache" / "models--laion--CLIP-ViT-B-16-laion2B-s34B-b88K" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{checksum(FILE, WEIGHTS)}.incomplete").write_bytes(b"x" * 3_000_001)
    assert fetch.fetch(sources.DEFAULT, Job(), allowed=True).read_bytes() == WEIGHTS and hub.gets() == [None]


def test_a_wrong_checksum_leaves_nothing(hub, tmp_path):
    hub.checksums[FILE] = "00" * 32
    with pytest.raises(InvalidFile, match=r"arrived damaged: its checksum is [0-9a-f]{12}…, not 000000000000…"):
        fetch.fetch(sources.DEFAULT, Job(), allowed=True)
    assert kept(tmp_path) == [] and sources.locate(sources.DEFAULT) is None
    del hub.checksums[FILE]
    assert fetch.fetch(sources.DEFAULT, Job(), allowed=True).read_bytes() == WEIGHTS


@pytest.mark.parametrize("stalled", [False, True])
def test_a_cancel_is_honoured_at_once_and_keeps_what_came(hub, tmp_path, stalled):
    if stalled:
        hub.breaks = [-1]
    hub.pause = 0.1
    told, job = heard()
    cancelled = []
    threading.Timer(0.8, lambda: (cancelled.append(time.monotonic()), job.cancel())).start()
    with pytest.raises(Cancelled):
        fetch.fetch(sources.DEFAULT, job, allowed=True)
    assert time.monotonic() - cancelled[0] < 0.5 and constants.HF_HUB_OFFLINE
    assert sources.locate(sources.DEFAULT) is None and told
    hub.goes_on.set()
    hub.pause = 0.0
    assert fetch.fetch(sources.DEFAULT, Job(), allowed=True).read_bytes() == WEIGHTS
    assert stalled or re.fullmatch(r"bytes=[1-9]\d+-", hub.gets()[-1])


def test_a_full_disk_is_said_before_anything_comes(hub, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(total=10**9, used=10**9, free=2_000_000))
    with pytest.raises(NotAvailable, match="has 2 MB left, and 3 MB would come") as caught:
        fetch.fetch(sources.DEFAULT, Job(), allowed=True)
    assert "HF_HOME" in caught.value.hint and hub.gets() == []


def test_a_folder_that_cannot_be_written_is_said(hub, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InvalidFile, match=r"cannot be kept: .*[Nn]ot a directory|File exists"):
        fetch.fetch(sources.DEFAULT, Job(), allowed=True)


def test_an_older_form_is_fetched_where_there_is_no_newer_one(hub):
    hub.files = {"open_clip_pytorch_model.bin": WEIGHTS}
    path = fetch.fetch(sources.DEFAULT, Job(), allowed=True)
    assert path.name == "open_clip_pytorch_model.bin" and sources.locate(sources.DEFAULT).weights == path


def test_what_the_hub_does_not_have_is_said(hub):
    hub.files = {}
    with pytest.raises(NotAvailable, match="no longer holds the weights of"):
        fetch.fetch(sources.DEFAULT, Job(), allowed=True)
    hub.private = True
    with pytest.raises(NotAvailable, match="to nobody without an account"):
        fetch.fetch(sources.DEFAULT, Job(), allowed=True)


@pytest.mark.parametrize("odd", ["../../../evil", "short", None])
def test_an_answer_that_is_not_the_hubs_is_refused(hub, odd):
    hub.stranger, hub.checksums[FILE] = odd is None, odd
    with pytest.raises(NotAvailable, match="is not the hub"):
        fetch.fetch(sources.DEFAULT, Job(), allowed=True)


def test_a_storage_that_sends_too_much_is_stopped(hub, tmp_path, monkeypatch):
    asked = fetch._ask
    monkeypatch.setattr(fetch, "_ask", lambda *given: asked(*given) and dataclasses.replace(asked(*given), size=1_000_000))
    with pytest.raises(NotAvailable, match=r"sends more of .* than its 1,000,000 bytes"):
        fetch.fetch(sources.DEFAULT, Job(), allowed=True)
    assert next((tmp_path / "cache").glob("*/blobs/*")).stat().st_size <= 1_000_000


def test_no_network_is_one_sentence(hub, tmp_path):
    hub.close()
    with pytest.raises(NotAvailable, match="could not be fetched: ") as caught:
        fetch.fetch(sources.DEFAULT, Job(), allowed=True)
    assert "goes on where it stopped" in caught.value.hint and "\n" not in caught.value.message


# Models that read texts with another package


@pytest.fixture
def transformers(monkeypatch):
    """A package of that name: its tokenizers say from where they were made."""
    made = []
    package = types.ModuleType("transformers")
    package.__spec__ = ModuleSpec("transformers", None)
    package.AutoTokenizer = types.SimpleNamespace(from_pretrained=lambda *given, **more: made.append((given, more)))
    monkeypatch.setitem(sys.modules, "transformers", package)
    return made


def test_without_that_package_nothing_is_fetched(hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(NotAvailable, match="with the package transformers, which is not installed"):
        fetch.fetch(SIGLIP, Job(), allowed=True)
    assert not hub.asked


def test_a_tokenizer_is_fetched_beside_the_weights(hub, transformers):
    hub.files |= {"tokenizer_config.json": b'{"a": 1}', "tokenizer.json": b"{}" * 500, "spiece.model": b"pieces"}
    assert sources.missing_parts("ViT-B-16-SigLIP") == ["timm/ViT-B-16-SigLIP"]
    path = fetch.fetch(SIGLIP, Job(), allowed=True)
    assert path.read_bytes() == WEIGHTS and sources.missing_parts("ViT-B-16-SigLIP") == []
    assert (path.parent / "tokenizer.json").read_bytes() == b"{}" * 500
    asked = len(hub.asked)
    assert fetch.fetch(SIGLIP, Job(), allowed=False) == path and len(hub.asked) == asked


def test_a_tokenizer_that_came_in_part_is_fetched_again(hub, transformers):
    hub.files |= {"tokenizer_config.json": b'{"a": 1}', "tokenizer.json": b"{}"}
    hub.breaks = [100, 503]  # the first comes whole
    with pytest.raises(NotAvailable, match="503"):
        fetch.fetch(SIGLIP, Job(), allowed=True)
    assert sources.missing_parts("ViT-B-16-SigLIP") == ["timm/ViT-B-16-SigLIP"]
    fetch.fetch(SIGLIP, Job(), allowed=True)
    assert sources.missing_parts("ViT-B-16-SigLIP") == []


def test_a_damaged_tokenizer_is_refused(hub, transformers):
    hub.files |= {"tokenizer_config.json": b'{"a": 1}'}
    hub.checksums = {"tokenizer_config.json": "00" * 20}
    with pytest.raises(InvalidFile, match=r"'tokenizer_config.json' .* arrived damaged"):
        fetch.fetch(SIGLIP, Job(), allowed=True)


# Labels from text


@pytest.fixture
def opened(monkeypatch):
    """A model that is loaded is here its name alone."""
    monkeypatch.setattr(models, "load", lambda name, *device: name)


def test_auto_fetches_the_default_where_that_is_allowed(hub, opened, tmp_path, monkeypatch):
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    (tiny / "open_clip_config.json").write_text('{"model_cfg": {"text_cfg": {}, "vision_cfg": {}}}')
    (tiny / FILE).write_bytes(b"?")
    monkeypatch.setattr(sources, "TINY_FOLDER", tiny)
    name, (note,) = loaded(TextOptions(), Job())
    assert name == sources.TINY and "are not on this machine" in note and not hub.asked
    job = Job()
    assert loaded(TextOptions(allow_download=True), job) == (sources.DEFAULT, []) and "fetch model" in job.timings
    assert sources.locate(sources.DEFAULT).weights.read_bytes() == WEIGHTS
    job, asked = Job(), len(hub.asked)
    assert loaded(TextOptions(), job) == (sources.DEFAULT, [])
    assert "fetch model" not in job.timings and len(hub.asked) == asked


@pytest.mark.parametrize("links, commit", [(True, COMMIT), (True, "6b" * 20), (False, COMMIT)])
def test_weights_that_are_here_without_their_tokenizer_get_it(hub, opened, transformers, monkeypatch, links, commit):
    """They are not fetched again: not where a later commit added the tokenizer, nor where the cache cannot hold links."""
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda folder=None: links)
    fetch.fetch(SIGLIP, Job(), allowed=True)
    hub.files |= {"tokenizer_config.json": b"{}", "tokenizer.json": b"{}"}
    hub.commit = commit
    asked = len(hub.asked)
    with pytest.raises(NotAvailable, match=r"'ViT-B-16-SigLIP/webli' \(813 MB, .*\) are not all on this machine"):
        loaded(TextOptions(model=SIGLIP), Job())
    assert len(hub.asked) == asked
    assert loaded(TextOptions(model=SIGLIP, allow_download=True), Job()) == (SIGLIP, [])
    assert sources.missing_parts("ViT-B-16-SigLIP") == [] and sources.locate(SIGLIP).weights.read_bytes() == WEIGHTS
    assert [file for server, method, file, _ in hub.asked if (server, method) == ("storage", "GET")].count(FILE) == 1


# Nothing else opens a connection


def folder_of(path, **changes):
    """A small model's folder, its description changed at "text_cfg.key" or "vision_cfg.key"."""
    from splatonym.server.training import tiny_clip

    torch.save({"average": tiny_clip.create().state_dict()}, path / "last.pt")
    tiny_clip.export(path / "last.pt", path / "model")
    config = path / "model" / "open_clip_config.json"
    about = json.loads(config.read_text())
    for key, value in changes.items():
        part, name = key.split("__")
        about["model_cfg"][part][name] = value
    config.write_text(json.dumps(about))
    return path / "model"


def test_loading_opens_no_connection(tmp_path, hub, no_connections, monkeypatch):
    monkeypatch.setattr(sources, "TINY_FOLDER", folder_of(tmp_path))
    clip = models.load(sources.resolve(sources.AUTO)[0])
    assert clip.name == sources.TINY and clip.encode_texts(["a red chair"]).shape == (1, 128)
    assert models.load(sources.TINY) is clip
    assert constants.HF_HUB_OFFLINE and not no_connections
    with pytest.raises(huggingface_hub.errors.OfflineModeIsEnabled):
        huggingface_hub.get_session().get("http://127.0.0.1:9/")
    assert not no_connections


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"text_cfg__hf_model_name": "xlm-roberta-base"}, "reads its texts with 'xlm-roberta-base', whose files are not"),
        ({"text_cfg__hf_model_name": "not/a/repository"}, "reads its texts with 'not/a/repository', whose files are not"),
        ({"text_cfg__hf_tokenizer_name": "some/tokenizer"}, "does not hold its tokenizer"),
        ({"vision_cfg__timm_model_name": "hf-hub:some/model"}, "picture side from elsewhere: 'hf-hub:some/model'"),
    ],
)
def test_a_folder_that_needs_parts_from_elsewhere_is_refused(tmp_path, hub, no_connections, transformers, changes, words):
    with pytest.raises(NotAvailable, match=re.escape(words)):
        models.load(str(folder_of(tmp_path, **changes)))
    assert not no_connections and not transformers


def test_a_folders_tokenizer_runs_no_code_of_its_own(tmp_path, hub, no_connections, transformers):
    folder = folder_of(
        tmp_path, text_cfg__hf_tokenizer_name="some/tokenizer", text_cfg__tokenizer_kwargs={"trust_remote_code": True}
    )
    (folder / "tokenizer_config.json").write_text("{}")
    models.load(str(folder))
    ((place,), more) = transformers[0]
    assert place == folder and more["trust_remote_code"] is False and not no_connections


def test_all_architectures_say_what_they_read_texts_with(hub, no_connections, transformers):
    """None has a tokenizer that open_clip would fetch from a place of its own."""
    parts = {name: sources.missing_parts(name) for name in open_clip.list_models()}
    assert not parts["ViT-B-16"] and parts["xlm-roberta-base-ViT-B-32"] == ["xlm-roberta-base"] * 2
    assert not no_connections
