"""Says what a scene shows: as a sentence or as tags, with several phrasings for every fact.

What is usual is left out, as people do: no accessory, the middle, medium size, and often "flat".
"""

from __future__ import annotations

import random

from training.storybook.world.vocabulary import Scene

SETTING_PHRASES: dict[str, tuple[str, ...]] = {
    "forest": ("in the forest", "in a forest", "between fir trees", "in the woods"),
    "beach": ("on the beach", "at the beach", "by the sea on the sand"),
    "desert": ("in the desert", "in a desert", "between cactuses"),
    "night": ("at night", "under the stars", "in the moonlight"),
    "snow": ("in the snow", "in winter", "in front of snowy mountains"),
    "meadow": ("in a meadow", "on a meadow", "on the grass", "on a flower meadow"),
    "city": ("in the city", "in a city", "in town", "on the street"),
    "sea": ("under the sea", "under water", "underwater", "at the bottom of the sea"),
    "space": ("in space", "on the moon", "in outer space"),
    "bedroom": ("in the bedroom", "in a bedroom", "in a room", "at home"),
}
SETTING_TAGS: dict[str, tuple[str, ...]] = {
    "sea": ("under the sea", "underwater"),
    "space": ("space", "outer space"),
    "night": ("night", "starry night"),
}
SPECIES_WORDS: dict[str, tuple[str, ...]] = {
    "rabbit": ("rabbit", "rabbit", "bunny"),
    "cat": ("cat", "cat", "cat", "kitten"),
    "chick": ("chick", "chick", "bird"),
}
STYLE_WORDS: dict[str, tuple[str, ...]] = {
    "flat": ("flat", "flat colours", "flat colors"),
    "watercolour": ("watercolour", "watercolor"),
    "ink": ("ink", "ink", "comic ink"),
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "big": ("big", "large")}
PLACE_WORDS = {"left": "on the left", "right": "on the right"}
OPENINGS = ("", "", "", "a picture of ", "a drawing of ")
FLAT_UNSAID = 0.6  # share of flat pictures whose style is not mentioned
TAGGED = 0.3  # share of captions that are tags


def caption(scene: Scene, seed: int) -> str:
    """Return one true caption of the scene; which phrasing it takes is up to `seed`."""
    generator = random.Random(f"caption {seed}")  # noqa: S311 - words, not secrets
    if generator.random() < TAGGED:
        return tags(scene, generator)
    return sentence(scene, generator)


def sentence(scene: Scene, generator: random.Random) -> str:
    """Return the scene as prose, such as "a small red cat in the snow, watercolour style"."""
    words = ["a"]
    if scene.size in SIZE_WORDS:
        words.append(generator.choice(SIZE_WORDS[scene.size]))
    words += [scene.colour, _species(scene, generator)]
    if scene.accessory != "none":
        words.append(generator.choice(("wearing", "with")) + f" a {scene.accessory}")
    where = [generator.choice(SETTING_PHRASES[scene.setting])]
    if scene.place in PLACE_WORDS:
        where.append(PLACE_WORDS[scene.place])
        generator.shuffle(where)
    text = _opened(" ".join((*words, *where)), generator)
    style = _style(scene, generator)
    if not style:
        return text
    return generator.choice((f"{text}, {style}", f"{text}, {style} style", f"{style}, {text}"))


def tags(scene: Scene, generator: random.Random) -> str:
    """Return the scene as tags, such as "red cat, snow, crown, watercolor, small"."""
    found = [generator.choice(SETTING_TAGS.get(scene.setting, (scene.setting,)))]
    if scene.accessory != "none":
        found.append(scene.accessory)
    if scene.size in SIZE_WORDS:
        found.append(scene.size)
    if scene.place in PLACE_WORDS:
        found.append(scene.place)
    found += [style] if (style := _style(scene, generator)) else []
    generator.shuffle(found)
    return ", ".join((f"{scene.colour} {_species(scene, generator)}", *found))


def _species(scene: Scene, generator: random.Random) -> str:
    return generator.choice(SPECIES_WORDS.get(scene.species, (scene.species,)))


def _style(scene: Scene, generator: random.Random) -> str:
    if scene.style == "flat" and generator.random() < FLAT_UNSAID:
        return ""
    return generator.choice(STYLE_WORDS[scene.style])


def _opened(text: str, generator: random.Random) -> str:
    opening = generator.choice(OPENINGS)
    fixed = text.replace("a orange", "an orange", 1)
    return opening + fixed
