"""A caption says what its scene shows, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from transformers import CLIPTokenizer

from training.storybook.books import FirstBook
from training.storybook.tokenizers import build_tokenizer, save_tokenizer
from training.storybook.world.captions import (
    PLACE_WORDS,
    SETTING_PHRASES,
    SETTING_TAGS,
    SIZE_WORDS,
    SPECIES_WORDS,
    STYLE_WORDS,
    caption,
)
from training.storybook.world.scenes import training_scene
from training.storybook.world.vocabulary import ACCESSORIES, COLOURS, SETTINGS, SPECIES, Scene

SCENES = [(training_scene(i), caption(training_scene(i), i)) for i in range(1500)]


def said(words: tuple[str, ...], text: str) -> bool:
    return any(re.search(rf"\b{re.escape(word)}\b", text) for word in words)


def test_colour_and_species_are_always_said_and_no_others() -> None:
    for scene, text in SCENES:
        assert [c for c in COLOURS if said((c,), text)] == [scene.colour]
        kinds = [s for s in SPECIES if said(SPECIES_WORDS.get(s, (s,)), text)]
        assert kinds == [scene.species]


def test_the_setting_is_always_said() -> None:
    for scene, text in SCENES:
        words = (*SETTING_PHRASES[scene.setting], *SETTING_TAGS.get(scene.setting, ()))
        assert said((*words, scene.setting), text)


def test_accessories_places_sizes_and_styles_are_said_exactly_when_they_are_there() -> None:
    for scene, text in SCENES:
        worn = [a for a in ACCESSORIES if a != "none" and said((a,), text.replace("flower me", ""))]
        assert worn == ([] if scene.accessory == "none" else [scene.accessory])
        assert [p for p in PLACE_WORDS if said((p,), text)] == (
            [scene.place] if scene.place in PLACE_WORDS else []
        )
        assert [s for s, words in SIZE_WORDS.items() if said(words, text)] == (
            [scene.size] if scene.size in SIZE_WORDS else []
        )
        styles = [s for s, words in STYLE_WORDS.items() if said(words, text)]
        assert styles in (([scene.style], []) if scene.style == "flat" else ([scene.style],))


def test_captions_are_sentences_and_tags_in_many_phrasings() -> None:
    scene = Scene(species="rabbit", colour="orange", setting="sea", accessory="crown")
    texts = {caption(scene, i) for i in range(200)}
    assert len(texts) > 40
    assert any(text.startswith("an orange") for text in texts)
    assert not any("a orange" in text for text in texts)
    assert any(text.startswith(("orange rabbit, ", "orange bunny, ")) for text in texts)


def test_every_setting_has_phrases() -> None:
    assert set(SETTING_PHRASES) == set(SETTINGS)


def test_the_tokenizer_reads_back_what_it_wrote() -> None:
    tokenizer = build_tokenizer(FirstBook(), captions=1500)
    for _, text in SCENES[:200]:
        ids = tokenizer(text).input_ids
        assert len(ids) <= FirstBook().max_tokens
        decoded = str(tokenizer.decode(ids, skip_special_tokens=True))
        assert decoded.replace(" ,", ",").strip() == text


def test_the_tokenizer_spells_words_it_never_saw() -> None:
    tokenizer = build_tokenizer(FirstBook(), captions=1500)
    assert tokenizer.tokenize("a red zorbo") == ["a</w>", "red</w>", "z", "o", "r", "b", "o</w>"]


def test_a_saved_tokenizer_loads_equal(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(FirstBook(), captions=1500)
    save_tokenizer(tokenizer, tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    texts = [text for _, text in SCENES[:100]]
    assert loaded(texts).input_ids == tokenizer(texts).input_ids
    assert loaded.model_max_length == FirstBook().max_tokens
    assert {"vocab.json", "merges.txt"} <= {path.name for path in tmp_path.iterdir()}
