# SPDX-License-Identifier: GPL-3.0-or-later
"""The furniture catalogue: what models there are, which class each one is, which split may use it.

The models come from the Debian packages `sweethome3d-furniture` (the .sh3f libraries) and
`sweethome3d` (the program's jar: the floor and wall textures; its own models are left out, so that they stay furniture that no
training has seen). Both are zip files with a Java .properties catalogue inside.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

CLASSES = [
    "background",
    "wall",
    "floor",
    "ceiling",
    "window",
    "door",
    "chair",
    "sofa",
    "table",
    "bed",
    "cabinet",
    "shelf",
    "lamp",
    "plant",
    "appliance",
    "sink",
    "toilet",
    "bathtub",
    "tv",
    "curtain",
    "rug",
    "picture",
    "small_object",
    "other",
]

LICENCES = {
    "BlendSwap-CC-0": "CC0",
    "BlendSwap-CC-BY": "CC-BY 3.0",
    "KatorLegaz": "CC-BY 3.0 US",
    "Reallusion": "CC-BY 3.0 US",
    "Scopia": "CC-BY 3.0",
    "sweethome3d": "GPL-2+ or CC-BY 3.0",
}

# The first rule that matches the lower-case model name decides.
RULES = [
    (r"lamp|light$|lights$|^light |candle|lantern|chandelier", "lamp"),
    (r"sofa|couch|\bbz\b", "sofa"),
    (
        r"bedside|sink cabinet|cabinet|wardrobe|dresser|cupboard|^chest$|vanity|filing|locker|"
        r"tv unit|tv stand",
        "cabinet",
    ),
    (r"abdominal|indoor bike|treadmill", "other"),
    (r"workbench", "table"),
    (r"armchair|chair|stool|bench|seat|ottoman|puff", "chair"),
    (r"table$|^table|table with|\bdesk\b|trestles", "table"),
    (r"bookcase|shelves|shelf|shelving", "shelf"),
    (r"^bed|\bbed\b|crib|futon|mattress|cradle", "bed"),
    (r"plant|cactus|orchid|bamboo|ficus|bonsai|yucca|lily|tulip|flower|spathi|palm|christmas tree", "plant"),
    (
        r"refrigerator|fridge$|freezer|oven|stove|cooker|cooktop|washing machine|washer|dryer machine|"
        r"dishwasher|hood|boiler|coffee machine|microwave",
        "appliance",
    ),
    (r"washbasin|sink|lavatory", "sink"),
    (r"toilet unit|toilets unit|toilet$|urinal|bidet", "toilet"),
    (r"bath$|bathtub|fitted bath|shower stall|fitted shower|^shower$|jacuzzi", "bathtub"),
    (r"^tv|tv$|screen$|imac|ibook|laptop|computer screen", "tv"),
    (r"curtain|blind", "curtain"),
    (r"rug|carpet|bathmat|doormat", "rug"),
    (r"^frame|artwork|calendar|white board|picture|painting", "picture"),
]
OUTDOOR = (
    r"street|stone lantern|park light|porch|flashlight|camping|outdoor|exterior|garden|"
    r"garage|elevator|fence|railing|beach|table tennis|football|pool table|railway"
)
UNFIT = (
    r"table fan|tablet|living room|^island|container|mower|pallet|^triangle|^cone$|^cylinder$|"
    r"light source|door frame|open door|shutter|mannequin|sliding door|intercom|lamppost|"
    r"shower head|shower door|punching|concrete|deck chair|christmas|clothes$|^dress$|jacket|^short$|^suit$|"
    r"trousers|changing table|water heater|half round|triangle window|"
    r"round window|arched window|fluorescent strip"
)
NOT_IN_ROOMS = {"Characters", "Vehicles", "Staircases"}


@dataclass(frozen=True)
class Model:
    """One furniture model; sizes and elevation (height of its base over the floor) in metres."""

    id: str
    name: str
    category: str
    creator: str
    library: str
    archive: Path
    member: str
    size: tuple
    elevation: float
    rotation: tuple
    cls: str

    @property
    def licence(self):
        return LICENCES.get(self.library, "see the package")

    @property
    def held_out(self):
        """A tenth of the models is kept for the validation rooms."""
        return int(hashlib.md5(self.id.encode(), usedforsecurity=False).hexdigest(), 16) % 10 == 0


def classify(name, category, size):
    """Class of a model, or None where it does not belong in a furnished room."""
    n = name.lower()
    if category in NOT_IN_ROOMS or re.search(OUTDOOR + "|" + UNFIT, n):
        return None
    if category == "Doors and windows":
        return "window" if "window" in n else "door" if "door" in n else None
    cls = next((c for pattern, c in RULES if re.search(pattern, n)), "small_object" if max(size) < 0.5 else "other")
    if category == "Exterior" and cls not in ("chair", "sofa", "table"):
        return None
    if (cls == "plant" and max(size) > 2.3) or (cls == "tv" and max(size) < 0.2):
        return None
    return cls


def properties(raw):
    """Parse a Java .properties file."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    text = re.sub(r"\\\r?\n\s*", "", text)
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    lines = (line.strip() for line in text.splitlines())
    pairs = (re.match(r"([^=:\s]+)\s*[=:]\s*(.*)", s) for s in lines if s and s[0] not in "#!")
    return {m[1]: m[2].strip() for m in pairs if m}


def entries(raw):
    """The numbered entries (key#1=..., key#2=...) of a catalogue, as a list of dicts."""
    out = {}
    for key, value in properties(raw).items():
        m = re.match(r"(\w+)#(\d+)$", key)
        if m:
            out.setdefault(int(m[2]), {})[m[1]] = value
    return list(out.values())


def archives(furniture_dir):
    """(archive, catalogue member) of every library."""
    found = [(p, "PluginFurnitureCatalog.properties") for p in sorted(Path(furniture_dir).glob("*.sh3f"))]
    if not found:
        raise SystemExit(
            f"no .sh3f library in {furniture_dir}: install sweethome3d-furniture, or name the folder with --furniture"
        )
    return found


def load(furniture_dir, max_obj_bytes=6_000_000):
    """All usable models as {class: [Model, ...]}."""
    by_class = {}
    for path, member in archives(furniture_dir):
        with zipfile.ZipFile(path) as z:
            weight = {i.filename: i.file_size for i in z.infolist()}
            for e in entries(z.read(member)):
                if "model" not in e or not e["model"].lower().endswith(".obj"):
                    continue
                size = tuple(float(e[k]) / 100 for k in ("width", "depth", "height"))
                cls = classify(e["name"], e.get("category", ""), size)
                obj = e["model"].lstrip("/")
                if cls is None or not 0 < weight.get(obj, 0) < max_obj_bytes:
                    continue
                rotation = tuple(float(x) for x in e.get("modelRotation", "").split())
                by_class.setdefault(cls, []).append(
                    Model(
                        e.get("id", e["name"]),
                        e["name"],
                        e.get("category", ""),
                        e.get("creator", "?"),
                        path.stem,
                        path,
                        obj,
                        size,
                        float(e.get("elevation", 0)) / 100,
                        rotation,
                        cls,
                    )
                )
    return by_class


def split_of(seed):
    """One room in twelve is for validation."""
    return "val" if seed % 12 == 0 else "train"


def for_split(by_class, split, enough=2):
    """The models a split may use.

    `train` gets the models that are not held out, `val` only the held-out ones; in a class with
    fewer than `enough` held-out models `val` falls back on the training models.
    """
    out = {}
    for cls, models in by_class.items():
        train = [m for m in models if not m.held_out]
        val = [m for m in models if m.held_out]
        out[cls] = val if split == "val" and len(val) >= enough else train
    return out


def textures(jar):
    """(kind, member, (width, height) in metres) of the jar's indoor floor and wall textures."""
    if not Path(jar).is_file():
        raise SystemExit(f"{jar} not found: install sweethome3d, or name the file with --jar")
    with zipfile.ZipFile(jar) as z:
        raw = z.read("com/eteks/sweethome3d/io/DefaultTexturesCatalog.properties")
    outdoor = {"Grass", "Box tree", "Pebbles", "Paving stone"}
    return [
        (e["category"].lower(), e["image"].lstrip("/"), (float(e["width"]) / 100, float(e["height"]) / 100))
        for e in entries(raw)
        if e["category"] in ("Floor", "Wall") and e["name"] not in outdoor
    ]


def attribution(by_class):
    """Text naming every model that a room may hold, its author and its licence."""
    rows = sorted({(m.library, m.name, m.creator, m.licence, m.id) for models in by_class.values() for m in models})
    owners = {
        "BlendSwap-CC-0": "the BlendSwap contributors named below",
        "BlendSwap-CC-BY": "the BlendSwap contributors named below",
        "KatorLegaz": "Andrew Kator & Jennifer Legaz",
        "Reallusion": "Reallusion",
        "Scopia": "Emmanuel Puybaret / eTeks and Scopia Visual Interfaces Systems, s.l.",
        "sweethome3d": "Emmanuel Puybaret / eTeks: the floor and wall textures",
    }
    used = sorted({row[0] for row in rows})
    return (
        "The models that the rendered rooms are furnished with, from the Debian packages\n"
        "sweethome3d-furniture and sweethome3d. Changes made to them: scaled to their catalogue size,\n"
        "transparency removed, some materials recoloured.\n\nLibraries:\n"
        + "".join(f"  {lib}: {LICENCES.get(lib)}, {owners.get(lib)}\n" for lib in used)
        + "\nCC0: http://creativecommons.org/publicdomain/zero/1.0/"
        "\nCC-BY 3.0: http://creativecommons.org/licenses/by/3.0/"
        "\nCC-BY 3.0 US: http://creativecommons.org/licenses/by/3.0/us/"
        "\n\nname | creator | licence | library | catalogue id\n"
        + "".join(f"{name} | {creator} | {licence} | {lib} | {id_}\n" for lib, name, creator, licence, id_ in rows)
    )
