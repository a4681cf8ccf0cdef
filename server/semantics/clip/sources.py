# SPDX-License-Identifier: GPL-3.0-or-later
"""Which vision-language models there are, and where their weights lie on this machine.

A model is named "ARCHITECTURE/WEIGHTS" as open_clip names both ("ViT-B-16/laion2b_s34b_b88k"), or by "ARCHITECTURE=/path/to/weights", or
by a folder with open_clip_config.json and weights; "tiny" ships with Splatonym. Weights are used where they lie: nothing here opens a
connection (fetch.py does, when allowed).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ....core.errors import InvalidFile, NotAvailable
from ....core.files import read_json

DEFAULT = "ViT-B-16/laion2b_s34b_b88k"
TINY = "tiny"
AUTO = "auto"
"""The default where its weights are on this machine, else the model that ships."""
TINY_FOLDER = Path(__file__).parent / "tiny"
TOKENIZER = "tokenizer_config.json"
"""The file that shows whether a tokenizer of the package transformers is there."""
TOWER = "config.json"
"""The file that shows whether the description of a text tower of that package is there."""
_PREFERRED = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
)  # fmt: skip
"""Names of weights, in the order in which open_clip chooses among them. On the hub they have one of the first three."""


@dataclass(frozen=True)
class Known:
    """A model that is worth naming. megabytes: of its weights in float32, four bytes a parameter. licence: of the weights."""

    name: str
    megabytes: int
    licence: str
    note: str


KNOWN = (
    Known(TINY, 14, "GPL-3.0-or-later", "ships with Splatonym: furniture and colours, works offline"),
    Known("ViT-B-32/laion2b_s34b_b79k", 605, "MIT", "small: a quarter of the default's patches, coarser"),
    Known(DEFAULT, 598, "MIT", "default"),
    Known("convnext_base_w/laion2b_s13b_b82k", 718, "MIT", "convolutional"),
    Known("ViT-B-16-SigLIP/webli", 813, "Apache-2.0", "sigmoid loss; needs the package transformers for its texts"),
    Known("ViT-L-14/laion2b_s32b_b82k", 1710, "MIT", "large"),
)


@dataclass(frozen=True)
class Source:
    """Where a model comes from. architecture: open_clip's name, or "local-dir:FOLDER". weights: the file that is loaded, an absolute path.
    tag: open_clip's name of the weights, "" where it has none.
    """

    name: str
    architecture: str
    weights: Path
    tag: str = ""


def resolve(name: str) -> tuple[str, list[str]]:
    """The model that a name stands for, with sentences for the report; only "auto" stands for another."""
    if name != AUTO:
        return name, []
    if locate(DEFAULT) is not None:
        return DEFAULT, []
    weights = f"the weights of '{DEFAULT}'{size_and_licence(DEFAULT)}"
    return TINY, [f"The small model '{TINY}' was used: {weights} are not on this machine; fetched, they name more."]


def listing() -> list[dict[str, str | int | bool]]:
    """The models worth naming: name, megabytes, licence, note, and whether they are here, on this machine."""
    return [
        {"name": k.name, "megabytes": k.megabytes, "licence": k.licence, "note": k.note, "here": locate(k.name) is not None}
        for k in KNOWN
    ]


def locate(name: str) -> Source | None:
    """Where the model's weights lie on this machine, None where they do not.

    A name that cannot be one raises NotAvailable, a path that leads to no weights InvalidFile.
    """
    if name == TINY:
        return _in_folder(name, TINY_FOLDER) if (TINY_FOLDER / _PREFERRED[0]).is_file() else None
    place = Path(name).expanduser()
    if place.is_absolute() or place.is_dir():
        return _in_folder(name, place.absolute())
    architecture, equals, path = name.partition("=")
    if equals:
        file = Path(path).expanduser().absolute()
        if not file.is_file():
            raise InvalidFile(f"There is no file '{file}'.", "Give the whole path of the weights.")
        return Source(name, _checked(architecture), file)
    repository, files = hub_place(name)
    architecture, _, tag = name.partition("/")
    return next((Source(name, architecture, Path(p).absolute(), tag) for f in files if (p := _cached(repository, f))), None)


def _in_folder(name: str, folder: Path) -> Source:
    if not (folder / "open_clip_config.json").is_file():
        raise InvalidFile(f"'{folder}' has no open_clip_config.json.", "Choose a folder that open_clip can load.")
    files = [path for suffix in ("safetensors", "bin", "pth") for path in sorted(folder.glob(f"*.{suffix}"))]
    if not files:
        raise InvalidFile(f"'{folder}' holds no weights.", "Put open_clip_model.safetensors there.")
    chosen = min(files, key=lambda path: _PREFERRED.index(path.name) if path.name in _PREFERRED else len(_PREFERRED))
    return Source(name, f"local-dir:{folder}", chosen)


def hub_place(name: str) -> tuple[str, tuple[str, ...]]:
    """The Hugging Face repository of a model's weights, and names of its file, the best first. A name that is none raises NotAvailable."""
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    architecture, _, tag = name.partition("/")
    config = get_pretrained_cfg(_checked(architecture), tag)
    if not config or not config.get("hf_hub"):
        tags = ", ".join(list_pretrained_tags_by_model(architecture)) or "none"
        raise NotAvailable(f"There are no weights '{tag}' for '{architecture}'.", f"Weights: {tags}.")
    repository, _, file = config["hf_hub"].rpartition("/")
    if file:  # a name of its own: the same in a form that holds no code is better
        return repository, tuple(dict.fromkeys((str(Path(file).with_suffix(".safetensors")), file)))
    return repository, _PREFERRED[:3]


def _checked(architecture: str) -> str:
    from open_clip import list_models

    if architecture not in list_models():
        few = ", ".join(known.name for known in KNOWN)
        raise NotAvailable(
            f"There is no vision-language model '{architecture[:60]}'.", f"For example: {few}; or give a folder."
        )
    return architecture


def _cached(repository: str, file: str) -> str | None:
    """The file's place in the Hugging Face cache, if it is there."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(repository, file)
    except ValueError:  # a folder's description may name anything as a repository
        return None
    return found if isinstance(found, str) else None


def missing(name: str) -> InvalidFile | NotAvailable:
    """The error for a model whose weights are not on this machine: how large they are, and how to get them."""
    if name == TINY:
        return InvalidFile(
            f"The model '{TINY}', which ships with Splatonym, is missing: {TINY_FOLDER}.", "Install Splatonym again."
        )
    return NotAvailable(
        f"The weights of '{name}'{size_and_licence(name)} are not on this machine.",
        f"{ways_to_get(name)}; or choose '{TINY}', which ships with Splatonym.",
    )


def size_and_licence(name: str) -> str:
    """ " (598 MB, licence MIT)" for a sentence about a model's weights; "" where they are not known."""
    return next((f" ({k.megabytes:,} MB, licence {k.licence})" for k in KNOWN if k.name == name), "")


def ways_to_get(name: str) -> str:
    """How to get what a model lacks: a sentence without its full stop."""
    return f"Get them with `splatonym models --fetch {name} --allow-download`, or with the button in Blender's panel"


def missing_parts(architecture: str) -> list[str]:
    """Repositories of the hub that an architecture reads its texts with and that are not on this machine; mostly there are none.

    What could not be fetched either raises NotAvailable, a description that is none InvalidFile.
    """
    folder, text, vision = described(architecture)
    if ":" in str(vision.get("timm_model_name")):  # timm would ask the hub
        raise NotAvailable(
            f"'{folder or architecture}' takes its picture side from elsewhere: '{vision['timm_model_name']}'.",
            "Choose another model.",
        )
    tokenizer, tower = (str(text.get(key) or "") for key in ("hf_tokenizer_name", "hf_model_name"))
    if not tokenizer and not folder and "siglip" in architecture.lower():
        raise NotAvailable(f"open_clip would fetch the tokenizer of '{architecture}' at each start.", "Choose another model.")
    if (tokenizer or tower) and find_spec("transformers") is None:
        raise NotAvailable(
            f"'{folder or architecture}' reads its texts with the package transformers, which is not installed.",
            f"Install it with pip, or choose '{DEFAULT}'.",
        )
    if tokenizer and folder:  # open_clip looks for it there and nowhere else
        if not (folder / TOKENIZER).is_file():
            raise NotAvailable(f"'{folder}' does not hold its tokenizer.", f"Put the files of '{tokenizer}' there.")
        tokenizer = ""
    wanted = ((tokenizer, TOKENIZER), (tower, TOWER))
    return [repository for repository, file in wanted if repository and not _cached(repository, file)]


def described(architecture: str) -> tuple[Path | None, dict[str, Any], dict[str, Any]]:
    """The folder of an architecture, if it is not one of open_clip's, and its text_cfg and vision_cfg."""
    from open_clip import get_model_config

    _, local, place = architecture.partition("local-dir:")
    folder = Path(place) if local else None
    about = read_json(folder / "open_clip_config.json", 1 << 20).get("model_cfg") if folder else get_model_config(architecture)
    text, vision = (about.get(key) if isinstance(about, dict) else None for key in ("text_cfg", "vision_cfg"))
    if not isinstance(text, dict) or not isinstance(vision, dict):
        raise InvalidFile(f"'{place}/open_clip_config.json' describes no model.", "Get the folder again.")
    return folder, text, vision


def stay_offline() -> None:
    """From now on huggingface_hub, and what builds on it, opens no connection in this process; only fetch.py lifts that, for a download."""
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True


def weights_key(path: Path) -> str:
    """A short name for what a weights file holds: the first 16 hex digits of its sha256."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()[:16]
