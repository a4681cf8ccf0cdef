# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights from the Hugging Face hub, and nothing else in this project, open a connection: when a person allowed it, and only to ask or fetch.

huggingface_hub speaks with the hub and keeps the files where open_clip and others find them. Its own download starts anew each time; here its
parts are used so that a download goes on where it stopped, and so that a file comes into the cache only after its checksum was right. What
waits for the network is on a thread of its own, so that a cancel never waits with it.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

from .... import __version__
from ....core.errors import Cancelled, InvalidFile, NotAvailable, SplatonymError
from ...job import Job
from . import sources

MB = 10**6
CHUNK = 256 << 10
"""Bytes between two looks at what came."""
TEXT_FILES = (
    "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model",
    "vocab.json", "vocab.txt", "merges.txt", sources.TOWER, sources.TOKENIZER,
)  # fmt: skip
"""What the package transformers reads texts with; a repository has some of them. The last two say that the others are there."""
_CALLER: dict[str, Any] = {"library_name": "splatonym", "library_version": __version__, "token": False}
"""What the hub is told of who asks. No account: everything that is fetched is public."""
_TRUE = {"1", "ON", "YES", "TRUE"}
_COMMIT, _CHECKSUM = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}|[0-9a-f]{40}")  # they become names of files


@dataclass(frozen=True)
class Remote:
    """A file on the hub. commit: of its repository. size: in bytes. checksum: its sha256, or git's sha1 of a small text file, as hex digits."""

    repository: str
    file: str
    commit: str
    size: int
    checksum: str


@dataclass
class _Told:
    """How far the download of a model is, in bytes, written by the thread that downloads; and whether that thread is to stop."""

    name: str
    total: int = 0
    finished: int = 0
    current: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def say(self, job: Job) -> None:
        done = self.finished + self.current
        text = f"{done / MB:,.0f} of {self.total / MB:,.0f} MB" if self.total else "asking the hub"
        job.progress(done / max(self.total, 1), f"{self.name}: {text}")

    def check(self) -> None:
        if self.stopped.is_set():
            raise Cancelled()


def fetch(name: str, job: Job, *, allowed: bool) -> Path:
    """The file of a model's weights on this machine, fetched if it is not there ("auto" means the default).

    Of models that read texts with the package transformers, the tokenizer's files are fetched, too. Raises NotAvailable without permission,
    network, room on the disk or that package; InvalidFile where the content is not what the hub says it is, or the disk refuses; Cancelled
    within half a second, whatever the network does. What had come by then is kept for the next time.
    """
    name = sources.DEFAULT if name == sources.AUTO else name
    source = sources.locate(name)
    if source and not source.tag:
        return source.weights
    if name == sources.TINY:
        raise sources.missing(name)
    parts = sources.missing_parts(name.split("/")[0])
    if source and not parts:
        return source.weights
    _check_consent(name, allowed)
    told = _Told(name)

    def work() -> Path:
        remotes = [found for part in dict.fromkeys(parts) for file in TEXT_FILES if (found := _ask(part, file)) is not None]
        remotes.append(_weights(name, source))  # asked for also if they are here: a later commit of their repository hides them
        told.total = sum(remote.size for remote in remotes)
        return [_download(remote, told) for remote in remotes][-1]

    told.say(job)
    path = _aside(work, told, job)
    told.say(job)
    return path


def _check_consent(name: str, allowed: bool) -> None:
    if not allowed:
        raise NotAvailable(
            f"The files of '{name}'{sources.size_and_licence(name)} are not all on this machine, and may not be fetched.",
            "Allow online access in Blender's preferences, or give --allow-download; or use the model "
            f"'{sources.TINY}', which ships with Splatonym.",
        )
    for switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(switch, "").upper() in _TRUE:
            raise NotAvailable(f"The environment forbids connections to the hub: {switch} is set.", f"Unset {switch}.")


def _aside(work: Callable[[], Path], told: _Told, job: Job) -> Path:
    """work() on a thread, online, saying every tenth of a second how far it is."""
    from huggingface_hub import constants

    outcome: Future[Path] = Future()

    def run() -> None:
        try:
            with _plainly(told.name):
                outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="fetch", daemon=True)
    usual = constants.DOWNLOAD_CHUNK_SIZE, constants.HF_HUB_DISABLE_TELEMETRY
    constants.DOWNLOAD_CHUNK_SIZE, constants.HF_HUB_DISABLE_TELEMETRY = CHUNK, True
    constants.HF_HUB_OFFLINE = False
    try:
        thread.start()
        while not wait([outcome], 0.1).done:
            told.say(job)
        return outcome.result()
    finally:
        sources.stay_offline()  # a thread that still waits for an answer asks nothing more
        constants.DOWNLOAD_CHUNK_SIZE, constants.HF_HUB_DISABLE_TELEMETRY = usual
        told.stopped.set()
        thread.join(0.2)


def _weights(name: str, source: sources.Source | None) -> Remote:
    """The file on the hub with a model's weights: the one that is on this machine, else the best."""
    repository, files = sources.hub_place(name)
    files = (source.weights.name, *files) if source else files
    found = next((found for file in files if (found := _ask(repository, file)) is not None), None)
    if found is None:
        raise NotAvailable(f"'{repository}' on the hub no longer holds the weights of '{name}'.", "Choose another model.")
    if len(found.checksum) != 64:
        raise NotAvailable(f"The hub names no sha256 of '{repository}/{found.file}'.", "Choose another model.")
    return found


def _ask(repository: str, file: str) -> Remote | None:
    """What the hub says of a file; None where there is no such file."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import RemoteEntryNotFoundError

    url = hf_hub_url(repository, file)
    try:
        found = get_hf_file_metadata(url, **_CALLER)
    except RemoteEntryNotFoundError:
        return None
    if not _COMMIT.fullmatch(found.commit_hash or "") or not _CHECKSUM.fullmatch(found.etag or "") or found.size is None:
        raise NotAvailable(f"What answers at '{url}' is not the hub.", "A login page of the network may stand in between.")
    return Remote(repository, file, str(found.commit_hash), found.size, str(found.etag))


def _download(remote: Remote, told: _Told) -> Path:
    """The file in the hub's cache, whole and checked; goes on with what an earlier download left."""
    from huggingface_hub import constants, hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import are_symlinks_supported, http_get, repo_folder_name
    from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

    class Bar:
        """What huggingface_hub tells its progress to."""

        def __init__(self, initial: int = 0, **_: object) -> None:
            told.current = initial

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            return

        def update(self, count: int) -> None:
            """Before `count` bytes are written."""
            told.check()
            told.current += count
            if told.current > remote.size:
                raise NotAvailable(f"The hub sends more of '{remote.file}' than its {remote.size:,} bytes.", "Try again later.")

    cache = Path(constants.HF_HUB_CACHE).expanduser().absolute()
    folder = cache / repo_folder_name(repo_id=remote.repository, repo_type="model")
    blob, lock = folder / "blobs" / remote.checksum, cache / ".locks" / folder.name / f"{remote.checksum}.lock"
    part = blob.with_name(f"{blob.name}.incomplete")
    for path in (blob, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):  # two at once, here or in another program, would write into one file
        told.check()
        if not blob.exists() and not (folder / "snapshots" / remote.commit / remote.file).exists():
            had = part.stat().st_size if part.exists() else 0
            if had > remote.size:
                part.unlink()
                had = 0
            _check_disk(cache, remote.size - had + (0 if are_symlinks_supported(cache) else remote.size))
            with part.open("ab") as file:
                http_get(
                    hf_hub_url(remote.repository, remote.file, revision=remote.commit),
                    file,
                    resume_size=had,
                    headers=build_hf_headers(headers={"Accept-Encoding": "identity"}, **_CALLER),
                    expected_size=remote.size,
                    tqdm_class=Bar,
                )
            _check_content(part, remote)
            part.replace(blob)
    # the file is there: this says so in the cache, in the way of this machine
    found = Path(hf_hub_download(remote.repository, remote.file, revision=remote.commit, cache_dir=cache, **_CALLER))
    if not found.is_symlink():
        blob.unlink(missing_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(remote.commit)
    told.finished, told.current = told.finished + remote.size, 0
    return found


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NotAvailable(
            f"The disk of '{folder}' has {free / MB:,.0f} MB left, and {needed / MB:,.0f} MB would come.",
            "Make room, or name another folder in the environment variable HF_HOME.",
        )


def _check_content(part: Path, remote: Remote) -> None:
    """Remove a file that is not what the hub said, and raise InvalidFile."""
    from huggingface_hub.utils.sha import git_hash

    if len(remote.checksum) == 64:
        with part.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
    else:
        found = git_hash(part.read_bytes())
    if found != remote.checksum:
        part.unlink()
        raise InvalidFile(
            f"'{remote.file}' of '{remote.repository}' arrived damaged: its checksum is {found[:12]}…, not {remote.checksum[:12]}….",
            "It was removed. Fetch it again.",
        )


@contextmanager
def _plainly(name: str) -> Iterator[None]:
    """Errors of the network and of the disk in words for people."""
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    of_network: Any = HfHubHTTPError.__bases__[0]  # of the HTTP library, whichever this huggingface_hub uses
    try:
        yield
    except SplatonymError:
        raise
    except RepositoryNotFoundError as error:
        raise NotAvailable(
            f"The hub shows the repository of '{name}' to nobody without an account.", "Choose another model."
        ) from error
    except (of_network, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:160]
        if not isinstance(error, (of_network, ConnectionError, TimeoutError)) and error.errno is not None:
            raise InvalidFile(
                f"'{name}' cannot be kept: {reason}.", "Make room on the disk, or check its permissions."
            ) from error
        raise NotAvailable(
            f"'{name}' could not be fetched: {reason.rstrip('.')}.",
            "Check the connection and try again: it goes on where it stopped.",
        ) from error
