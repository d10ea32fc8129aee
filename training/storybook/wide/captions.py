"""Says what a page shows, as a sentence or as tags, with several phrasings for every fact.

What is usual is left out, as people do; everything that is said is true.
"""

from __future__ import annotations

import random

from training.storybook.wide.vocabulary import Actor, Page
from training.storybook.world.captions import SETTING_PHRASES as FIRST_SETTINGS
from training.storybook.world.captions import SPECIES_WORDS as FIRST_SPECIES

SETTING_PHRASES = FIRST_SETTINGS | {
    "farm": ("on a farm", "on the farm", "in front of a barn"),
    "castle": ("at a castle", "in front of a castle", "by the castle"),
    "kitchen": ("in the kitchen", "in a kitchen"),
    "cave": ("in a cave", "in the cave", "in a cave of crystals"),
}
SETTING_TAGS = {"sea": ("underwater",), "space": ("space", "outer space"), "farm": ("farm", "barn")}
SPECIES_WORDS = FIRST_SPECIES | {"pig": ("pig", "pig", "piglet"), "sheep": ("sheep", "lamb")}
MARK_PHRASES = {
    "spots": ("with {} spots", "with {} dots"),
    "bands": ("with {} stripes", "striped in {}"),
    "patch": ("with {a} {} patch",),
    "ring": ("with {a} {} ring",),
}
MARK_TAGS = {"spots": "{} spots", "bands": "{} stripes", "patch": "{} patch", "ring": "{} ring"}
CLOTHES_WORDS = {"scarf": "a {} scarf", "bow tie": "a {} bow tie", "cape": "a {} cape"}
PLURAL_CLOTHES = {"boots": "{} boots"}
POSE_WORDS = {"jumping": "jumping", "waving": "waving", "sleeping": "sleeping"}
EXPRESSION_WORDS = {
    "happy": ("happy", "cheerful"),
    "sad": ("sad", "crying"),
    "angry": ("angry", "grumpy"),
    "surprised": ("surprised", "astonished"),
}
TIME_PHRASES = {"sunset": ("at sunset", "in the evening"), "night": ("at night", "in the dark")}
WEATHER_PHRASES = {
    "rain": ("in the rain", "on a rainy day"),
    "snowfall": ("while it snows", "in falling snow"),
    "fog": ("in the fog", "on a foggy day"),
}
FRAMING_WORDS = {"close-up": ("close-up", "portrait"), "far": ("from afar", "wide shot")}
STYLE_WORDS = {
    "flat": ("flat colours", "flat colors", "flat"),
    "watercolour": ("watercolour", "watercolor"),
    "ink": ("ink", "comic ink"),
    "pencil": ("pencil drawing", "coloured pencil"),
    "pixel": ("pixel art", "8-bit pixel art"),
    "night-lights": ("night-lights", "glowing lights"),
    "paper cut": ("paper cut", "paper collage"),
}
RELATION_PHRASES = {
    "left of": ("to the left of", "left of"),
    "right of": ("to the right of", "right of"),
    "behind": ("behind",),
    "in front of": ("in front of",),
    "on top of": ("on top of", "standing on"),
}
SIZE_WORDS = {"small": ("small", "little"), "big": ("big", "large")}
PLACE_PHRASES = {"left": "on the left", "right": "on the right"}
FLAT_UNSAID = 0.6
TAGGED = 0.35


def page_caption(page: Page, seed: int) -> str:
    """Return one true caption of the page; which phrasing it takes is up to `seed`."""
    generator = random.Random(f"page caption {seed}")  # noqa: S311 - words, not secrets
    if generator.random() < TAGGED:
        return page_tags(page, generator)
    return page_sentence(page, generator)


def page_sentence(page: Page, generator: random.Random) -> str:
    """Return prose, such as "a red fox with white spots left of a blue pig on a farm at night"."""
    said = [_who(page, actor, generator) for actor in page.actors]
    match len(said):
        case 1:
            subject = said[0]
        case 2:
            relation = generator.choice(RELATION_PHRASES[page.relation])
            subject = f"{said[0]} {relation} {said[1]}"
        case _:
            subject = f"{', '.join(said[:-1])} and {said[-1]} side by side"
    circumstances = [generator.choice(SETTING_PHRASES[page.setting]), *_when(page, generator)]
    if len(said) == 1 and page.place in PLACE_PHRASES:
        circumstances.append(PLACE_PHRASES[page.place])
    text = " ".join((subject, *circumstances))
    outside = [*_framing(page, generator), *_style(page, generator)]
    generator.shuffle(outside)
    return ", ".join((text, *outside))


def page_tags(page: Page, generator: random.Random) -> str:
    """Return tags, characters first, such as "red fox, white spots, farm, night, ink"."""
    tags = [tag for actor in page.actors for tag in _actor_tags(page, actor, generator)]
    match page.actors:
        case (one, other):
            tags.append(f"{one.species} {page.relation} {other.species}")
        case (_, _, *_):
            tags.append("side by side")
    rest = [generator.choice(SETTING_TAGS.get(page.setting, (page.setting,)))]
    rest += [page.time] if page.time != "day" else []
    rest += [page.weather] if page.weather != "clear" else []
    if len(page.actors) == 1 and page.place in PLACE_PHRASES:
        rest.append(PLACE_PHRASES[page.place])
    rest += [*_framing(page, generator), *_style(page, generator)]
    generator.shuffle(rest)
    return ", ".join((*tags, *rest))


def _who(page: Page, actor: Actor, generator: random.Random) -> str:
    """Return one character, such as "a small sad red fox with white spots wearing a crown"."""
    before = [*_size(page, generator), *_expression(actor, generator)]
    words = [*before, actor.colour, _species(actor, generator)]
    if actor.marks in MARK_PHRASES:
        colour = actor.marks_colour
        phrase = generator.choice(MARK_PHRASES[actor.marks])
        words.append(phrase.format(colour, a=_article(colour)))
    worn = _worn(actor)
    if worn:
        words.append(f"{generator.choice(('wearing', 'in'))} {' and '.join(worn)}")
    if actor.prop != "none":
        words.append(f"holding {_article(actor.prop)} {actor.prop}")
    if actor.pose in POSE_WORDS:
        words.append(POSE_WORDS[actor.pose])
    return f"{_article(words[0])} {' '.join(words)}"


def _actor_tags(page: Page, actor: Actor, generator: random.Random) -> list[str]:
    tags = [f"{actor.colour} {_species(actor, generator)}"]
    if actor.marks in MARK_TAGS:
        tags.append(MARK_TAGS[actor.marks].format(actor.marks_colour))
    tags += [thing.removeprefix("a ").removeprefix("an ") for thing in _worn(actor)]
    tags += [actor.prop] if actor.prop != "none" else []
    tags += [POSE_WORDS[actor.pose]] if actor.pose in POSE_WORDS else []
    return [*tags, *_expression(actor, generator), *_size(page, generator)]


def _worn(actor: Actor) -> list[str]:
    """Return what the character wears, hat last, each with its article."""
    worn = []
    if actor.clothes in CLOTHES_WORDS:
        worn.append(CLOTHES_WORDS[actor.clothes].format(actor.clothes_colour))
    if actor.clothes in PLURAL_CLOTHES:
        worn.append(PLURAL_CLOTHES[actor.clothes].format(actor.clothes_colour))
    if actor.hat != "none":
        worn.append(f"a {actor.hat}")
    return worn


def _species(actor: Actor, generator: random.Random) -> str:
    return generator.choice(SPECIES_WORDS.get(actor.species, (actor.species,)))


def _expression(actor: Actor, generator: random.Random) -> list[str]:
    """Return the face's word; a sleeper's face says nothing else."""
    if actor.expression == "plain" or actor.pose == "sleeping":
        return []
    return [generator.choice(EXPRESSION_WORDS[actor.expression])]


def _size(page: Page, generator: random.Random) -> list[str]:
    if len(page.actors) > 1 or page.framing != "full" or page.size not in SIZE_WORDS:
        return []
    return [generator.choice(SIZE_WORDS[page.size])]


def _when(page: Page, generator: random.Random) -> list[str]:
    return [
        generator.choice(phrases[value])
        for phrases, value in ((TIME_PHRASES, page.time), (WEATHER_PHRASES, page.weather))
        if value in phrases
    ]


def _framing(page: Page, generator: random.Random) -> list[str]:
    return [generator.choice(FRAMING_WORDS[page.framing])] if page.framing in FRAMING_WORDS else []


def _style(page: Page, generator: random.Random) -> list[str]:
    if page.style == "flat" and generator.random() < FLAT_UNSAID:
        return []
    return [generator.choice(STYLE_WORDS[page.style])]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
