# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands where in the demo room. Metres and degrees; the room is the box (0, 0, 0) - ROOM.

South is y = 0, west is x = 0. A model at 0 degrees faces south; it turns counter-clockwise seen from above.
"""

from dataclasses import dataclass, field

ROOM = (6.4, 4.9, 2.6)

# wall, middle along it, width, bottom, top
WINDOWS = [("west", 2.35, 1.5, 0.85, 2.2), ("north", 4.85, 1.6, 0.85, 2.2)]
DOOR = ("south", 4.9, 0.9, 2.05)
RUG = ((2.0, 2.15), (2.5, 1.75))  # middle, size
LAMP = (0.5, 0.48)  # the standing lamp beside the sofa
PICTURES = [  # wall, middle along it, height of the middle, width, height, motif
    ("south", 1.45, 1.62, 0.62, 0.82, "hills"),
    ("south", 2.25, 1.62, 0.62, 0.82, "moons"),
    ("east", 3.95, 1.6, 0.9, 0.64, "dunes"),
    ("east", 1.15, 1.62, 0.56, 0.56, "stripes"),
]

# Collections: name -> (parent, the class that it gives to what it holds). Where neither an object nor a collection
# says a class, the object's name does.
COLLECTIONS = {
    "Room shell": (None, None),
    "Walls": ("Room shell", "wall"),
    "Furniture": (None, None),
    "Greenery": (None, "plant"),
    "Decoration": (None, "small_object"),
    "Books": ("Decoration", None),
    "Tableware": ("Decoration", None),
    "Lights": (None, None),
    "Cameras": (None, None),
}


@dataclass(frozen=True)
class Item:
    """One thing: its class, a model of the library and where it goes.

    `on` names the thing it stands on; `at` is then in that thing's own frame, and `below` is the height
    over that thing's base from which the surface is looked for (for the boards of a shelf).
    """

    name: str
    label: str  # its class; the object says so itself only if `own`
    model: str
    at: tuple
    turn: float = 0
    own: bool = False
    collection: str = "Furniture"
    on: str = None
    below: float = None
    z: float = None  # a fixed height, for things that hang
    scale: float = 1
    faces: int = 2500
    drop: tuple = ()  # materials that are left out
    glow: tuple = ()  # materials that shine
    colours: dict = field(default_factory=dict)


CUSHION_CHAIR = dict(label="chair", model="chairWithCushion", faces=1900, colours={"Cloth": (0.12, 0.2, 0.3)})
OAK = (0.42, 0.25, 0.12)
BRASS = (0.45, 0.3, 0.1)

ITEMS = [
    # the living corner; where `own`, the name alone would mislead or say nothing
    Item(
        "Blue Sofa",
        "sofa",
        "sofa2",
        (1.85, 0.47),
        180,
        scale=1.12,
        faces=4000,
        colours={"Fabric": (0.13, 0.22, 0.30), "Trim": (0.10, 0.17, 0.24), "Wood": (0.12, 0.06, 0.03)},
    ),
    Item("Reading Chair", "chair", "armchair2", (0.87, 3.98), 48, scale=0.95, colours={"None": (0.52, 0.27, 0.08)}),
    Item("Round Oak Table", "table", "oakTable", (2.0, 2.1), 20, on="Rug", scale=0.66, faces=2000),
    Item("TV Stand", "cabinet", "televisionCabinet", (2.1, 4.53), 0, own=True, faces=4500),
    Item(
        "Flat TV",
        "tv",
        "led_tv",
        (-0.24, -0.02),
        on="TV Stand",
        scale=0.97,
        colours={"screen": (0.02, 0.024, 0.03), "grey_plastic": (0.03, 0.03, 0.03)},
    ),
    Item("Tall Shelf", "shelf", "verticalShelves", (3.22, 4.68), 0, faces=1900),
    Item("Bedside Table", "cabinet", "bedsideTable2", (3.1, 0.27), 180, own=True),
    Item("Glassless Bookcase", "shelf", "bookcase", (3.88, 0.21), 180, drop=("glass",)),
    Item("Radiator", "other", "radiator", (0.17, 2.35), 90, scale=0.8, faces=2500),
    Item(
        "Cuckoo Clock",
        "small_object",
        "cuckooClock",
        (3.08, 0.086),
        180,
        z=1.35,
        scale=0.9,
        faces=4000,
        collection="Decoration",
        drop=("Pendulum",),
        colours={"Base": (0.16, 0.08, 0.04), "Front": (0.2, 0.1, 0.05), "Side": (0.16, 0.08, 0.04)},
    ),
    Item(
        "Electric Guitar",
        "other",
        "electricGuitar",
        (0.36, 1.02),
        75,
        own=True,
        faces=9000,
        colours={"Body": (0.35, 0.03, 0.02)},
    ),
    # the dining corner
    Item("Dining Table", "table", "table", (4.75, 3.4), 0, scale=0.76, faces=1500),
    Item("Dining Chair", at=(4.36, 2.86), turn=180, **CUSHION_CHAIR),
    Item("Dining Chair.001", at=(5.16, 2.8), turn=187, **CUSHION_CHAIR),
    Item("Dining Chair.002", at=(4.34, 3.98), turn=-4, **CUSHION_CHAIR),
    Item("Dining Chair.003", at=(5.16, 3.96), turn=2, **CUSHION_CHAIR),
    Item(
        "Chandelier", "lamp", "lamp2", (4.75, 3.4), 0, z=1.96, faces=2500, glow=("Glass",), colours={"Glass": (1, 0.82, 0.55)}
    ),
    Item("Sideboard", "cabinet", "shelves", (6.18, 2.62), -90, faces=1900),
    Item("Coffee Brewer", "appliance", "coffeeBrewer", (-0.2, 0), 0, own=True, on="Sideboard", faces=4500),
    # the desk
    Item("Desk", "table", "desk", (6.08, 1.25), -90, faces=2500, colours={"Desk1": OAK, "Biurko2": OAK}),
    Item("Desk Chair", "chair", "osakaChair", (5.5, 1.3), 76, faces=2430),
    Item(
        "Brass Lamp",
        "lamp",
        "desklamp",
        (-0.5, 0.06),
        0,
        on="Desk",
        faces=1600,
        glow=("Material.002",),
        colours={"Material.002": (0.9, 0.7, 0.42), "Material": BRASS},
    ),
    Item("Waste Bin", "other", "dustbin", (6.15, 2.085), 0, own=True, faces=1600, colours={"CHROME": (0.2, 0.21, 0.22)}),
    # plants: their collection tells the class
    Item("Areca Palm", "plant", "plant", (5.85, 4.38), 0, scale=0.92, faces=7000, collection="Greenery"),
    Item("Ivy", "plant", "augalas", (0.0, 0.0), 180, on="Glassless Bookcase", faces=3500, collection="Greenery"),
    Item(
        "Orchids",
        "plant",
        "orchids",
        (0.2, -0.03),
        120,
        on="Sideboard",
        faces=3500,
        collection="Greenery",
        colours={"Pot": (0.3, 0.3, 0.32)},
    ),
    Item("Cactus", "plant", "cactus", (0.1, 0.1), 0, on="Desk", faces=2500, collection="Greenery"),
    Item("Agave", "plant", "littlePlant", (-0.06, 0.1), 0, on="Round Oak Table", collection="Greenery"),
    # small things: their collection, or the one around it, tells the class
    Item(
        "Teddy Bear",
        "small_object",
        "teddyBear",
        (0.45, -0.13),
        12,
        on="Blue Sofa",
        below=0.6,
        faces=2500,
        collection="Decoration",
    ),
    Item("Basketball", "small_object", "basketball", (3.0, 0.82), 0, faces=1900, collection="Decoration"),
    Item(
        "Toy Biplane",
        "small_object",
        "cartoon_biplane",
        (0, 0),
        140,
        on="Tall Shelf",
        scale=1.8,
        faces=2500,
        collection="Decoration",
    ),
    Item(
        "Handbag",
        "small_object",
        "handbag",
        (0, 0.02),
        150,
        on="Bedside Table",
        faces=2000,
        collection="Decoration",
        colours={"Color": (0.35, 0.12, 0.06)},
    ),
    Item("Calendar", "small_object", "kalender", (-0.25, 0.08), 15, on="Desk", scale=1.3, faces=1500, collection="Decoration"),
    Item("Bread", "small_object", "bread", (-0.1, 0.05), 25, on="Dining Table", scale=1.2, collection="Tableware"),
    Item(
        "Coffee Cup",
        "small_object",
        "caffe_final",
        (0.45, -0.2),
        40,
        on="Dining Table",
        scale=1.2,
        faces=1300,
        collection="Tableware",
    ),
    Item(
        "Coffee Cup.001",
        "small_object",
        "caffe_final",
        (0.2, -0.15),
        200,
        on="Round Oak Table",
        scale=1.2,
        faces=1300,
        collection="Tableware",
    ),
    Item(
        "Coffee Cup.002",
        "small_object",
        "caffe_final",
        (-0.45, 0.2),
        300,
        on="Dining Table",
        scale=1.2,
        faces=1300,
        collection="Tableware",
    ),
]

# Rows of books: the shelf, middle of the row and its board as in Item, length
BOOKS = [
    ("Glassless Bookcase", (-0.2, 0.02), 1.35, 0.3),
    ("Glassless Bookcase", (0.2, 0.02), 1.0, 0.3),
    ("Glassless Bookcase", (-0.2, 0.02), 0.65, 0.3),
    ("Glassless Bookcase", (0.2, 0.02), 0.35, 0.26),
    ("Tall Shelf", (0, 0), 1.7, 0.26),
    ("Tall Shelf", (0.02, 0), 0.9, 0.24),
]

# Where each camera is and what it looks at; the last two are held out
CAMERAS = [
    ((4.55, 0.55, 1.5), (1.5, 3.3, 0.75)),
    ((2.95, 4.1, 1.55), (1.6, 0.5, 0.7)),
    ((0.45, 1.55, 1.45), (4.6, 3.4, 0.85)),
    ((0.62, 4.55, 1.65), (3.9, 0.9, 0.65)),
    ((5.75, 2.15, 1.5), (1.6, 2.4, 0.7)),
    ((5.95, 0.32, 1.65), (4.1, 3.6, 0.7)),
    ((2.95, 1.95, 1.45), (6.0, 1.55, 0.85)),
    ((3.5, 4.05, 1.6), (5.3, 0.7, 0.75)),
    ((3.0, 1.05, 1.5), (4.8, 3.7, 0.8)),
    ((3.7, 2.6, 1.35), (1.5, 0.9, 0.75)),
]
HELD_OUT = (8, 9)
LENS = 28  # on a square 36 mm sensor: 65 degrees
