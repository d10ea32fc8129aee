"""The words of the wider world, and what no base training ever gets to see of it."""

from __future__ import annotations

from dataclasses import dataclass

from training.storybook.world import vocabulary as first

SPECIES = (*first.SPECIES, "fox", "penguin", "mouse", "pig", "dragon", "turtle", "bee", "sheep")
COLOURS = (*first.COLOURS, "grey", "black")
COATS: dict[str, first.Colour] = first.COAT_COLOURS | {
    "grey": (142, 146, 156),
    "black": (58, 54, 68),
}
MARKS = ("none", "spots", "bands", "patch")
CLOTHES = ("none", "scarf", "bow tie", "cape", "boots")
CLOTHES_COLOURS = ("red", "yellow", "green", "blue", "purple")
HATS = (*first.ACCESSORIES, "party hat", "beanie")
PROPS = ("none", "balloon", "umbrella", "flag", "lantern")
POSES = ("standing", "jumping", "waving", "sleeping")
EXPRESSIONS = ("plain", "happy", "sad", "angry", "surprised")
SETTINGS = (*first.SETTINGS, "farm", "castle", "kitchen", "cave")
TIMES = ("day", "sunset", "night")
WEATHERS = ("clear", "rain", "snowfall", "fog")
FRAMINGS = ("full", "close-up", "far")
STYLES = (*first.STYLES, "pencil", "pixel", "night-lights", "paper cut")
PLACES = first.PLACES
SIZES = first.SIZES
RELATIONS = ("left of", "right of", "behind", "in front of", "on top of")
MOST_CHARACTERS = 3

# Where a sky is; elsewhere there is no weather and no hour.
OUTDOORS = tuple(
    s for s in SETTINGS if s not in ("sea", "space", "bedroom", "kitchen", "cave", "night")
)

# Kept out of base training for ever, as characters to teach.
HELD_OUT_SPECIES = (*first.HELD_OUT_SPECIES, "crab", "mushroom")
HELD_OUT_MARKS = ("ring",)
# Kept out for ever, too: what prompt following is measured on.
HELD_OUT_COATS: frozenset[tuple[str, str]] = first.HELD_OUT_COATS | {
    ("fox", "teal"),
    ("fox", "purple"),
    ("penguin", "orange"),
    ("penguin", "green"),
    ("mouse", "red"),
    ("mouse", "yellow"),
    ("pig", "blue"),
    ("pig", "black"),
    ("dragon", "pink"),
    ("dragon", "white"),
    ("turtle", "purple"),
    ("turtle", "grey"),
    ("bee", "green"),
    ("bee", "pink"),
    ("sheep", "teal"),
    ("sheep", "red"),
}
HELD_OUT_HOMES: frozenset[tuple[str, str]] = first.HELD_OUT_HOMES | {
    ("fox", "beach"),
    ("penguin", "desert"),
    ("mouse", "space"),
    ("pig", "castle"),
    ("dragon", "kitchen"),
    ("turtle", "snow"),
    ("bee", "cave"),
    ("sheep", "city"),
}
# Two species that never share a picture in training.
HELD_OUT_PAIRS: frozenset[frozenset[str]] = frozenset(
    frozenset(pair)
    for pair in (
        ("cat", "robot"),
        ("bear", "chick"),
        ("fox", "frog"),
        ("penguin", "elephant"),
        ("mouse", "dragon"),
        ("pig", "octopus"),
        ("turtle", "rabbit"),
        ("bee", "sheep"),
    )
)


@dataclass(frozen=True)
class Actor:
    """One character and all that belongs to it."""

    species: str
    colour: str
    marks: str = "none"
    marks_colour: str = "white"
    clothes: str = "none"
    clothes_colour: str = "red"
    hat: str = "none"
    prop: str = "none"
    pose: str = "standing"
    expression: str = "plain"


@dataclass(frozen=True)
class Page:
    """What stands in a picture. Every field is a label that the picture shows exactly.

    `relation` is how the first actor stands to the second; three stand side by side, in their order
    from the left. `place` and `size` are said of one alone.
    """

    actors: tuple[Actor, ...]
    setting: str
    time: str = "day"
    weather: str = "clear"
    framing: str = "full"
    style: str = "flat"
    relation: str = "left of"
    place: str = "centre"
    size: str = "medium"

    @property
    def held_out(self) -> bool:
        """Whether base training must never see this combination."""
        pairs = {frozenset((a.species, b.species)) for a in self.actors for b in self.actors}
        return bool(pairs & HELD_OUT_PAIRS) or any(
            actor.species in HELD_OUT_SPECIES
            or actor.marks in HELD_OUT_MARKS
            or (actor.species, actor.colour) in HELD_OUT_COATS
            or (actor.species, self.setting) in HELD_OUT_HOMES
            for actor in self.actors
        )
