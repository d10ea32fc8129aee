"""Adapters in requests: in their list, and as tags in the prompt."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from server.domain.adapters import StoredAdapter
from server.domain.errors import RequestRefusedError
from server.domain.images import AdapterRef, ImageRequest, ResolvedRequest
from server.domain.models import Family, ModelInfo
from server.domain.recipes import Recipe, parameters_text
from server.domain.resolve import resolve
from tests.domain.test_resolve import MODEL, parameter
from tests.store.values import a_recipe

DRAWS = MODEL.model_copy(
    update={
        "parameters": (*MODEL.parameters, parameter("adapters", None, type="adapters", maximum=3))
    }
)


def stored(name: str, family: Family = Family.SDXL) -> StoredAdapter:
    return StoredAdapter(
        id=name,
        sha256=f"hash of {name}",
        family=family,
        rank=8,
        layers=4,
        size_bytes=100,
        file_name=f"{name}.safetensors",
        created_at=datetime(2026, 3, 29, tzinfo=UTC),
    )


KNOWN = {name: stored(name) for name in ("ink", "pastel", "chalk", "oil")} | {
    "neon": stored("neon", Family.FLUX)
}


def resolved(prompt: str, model: ModelInfo = DRAWS, **asked: Any) -> ResolvedRequest:
    return resolve(ImageRequest(prompt=prompt, **asked), model, seed=7, adapters=KNOWN)


def drawn(prompt: str, **asked: Any) -> list[tuple[str, float]]:
    return [(one.id, one.weight) for one in resolved(prompt, **asked).adapters]


def refusal(prompt: str, model: ModelInfo = DRAWS, **asked: Any) -> tuple[str, str | None]:
    with pytest.raises(RequestRefusedError) as caught:
        resolved(prompt, model, **asked)
    return caught.value.detail, caught.value.parameter


def test_adapters_of_a_list_get_the_hashes_of_their_files() -> None:
    one = AdapterRef(id="ink", weight=0.5)
    [found] = resolved("a fox", adapters=(one,)).adapters
    assert (found.id, found.sha256, found.weight) == ("ink", "hash of ink", 0.5)


@pytest.mark.parametrize(
    ("prompt", "words", "adapters"),
    [
        ("a fox <lora:ink:0.8> in snow", "a fox in snow", [("ink", 0.8)]),
        ("<lora:ink>a fox", "a fox", [("ink", 1.0)]),
        ("a fox <lora:ink:-1><LORA:oil:.5>", "a fox", [("ink", -1.0), ("oil", 0.5)]),
        ("(a fox <lora:ink:0.8>:1.2)", "(a fox:1.2)", [("ink", 0.8)]),
        (" a fox <b> lora:ink ", " a fox <b> lora:ink ", []),
    ],
)
def test_tags_leave_the_prompt(prompt: str, words: str, adapters: list[tuple[str, float]]) -> None:
    assert resolved(prompt).prompt == words
    assert drawn(prompt) == adapters


def test_tags_come_after_the_list() -> None:
    assert drawn("a fox <lora:oil:2>", adapters=(AdapterRef(id="ink"),)) == [
        ("ink", 1.0),
        ("oil", 2.0),
    ]


@pytest.mark.parametrize(
    "tag", ["<lora:>", "<lora:ink:>", "<lora:ink:much>", "<lora:ink:1:2>", "<lora:ink:5>"]
)
def test_a_tag_that_cannot_be_read_is_refused_by_its_words(tag: str) -> None:
    detail, parameter = refusal(f"a fox {tag}")
    assert detail.startswith(f"'{tag}' is not understood; write <lora:NAME>")
    assert parameter == "prompt"


def test_what_cannot_be_drawn_with_is_refused_by_name() -> None:
    assert refusal("a fox <lora:inc>") == (
        "no adapter 'inc'; for model 'demo' there are chalk, ink, oil, pastel",
        "adapters",
    )
    assert refusal("a fox <lora:neon>") == (
        "adapter 'neon' is for flux models, and 'demo' is of family sdxl; for it there are "
        "chalk, ink, oil, pastel",
        "adapters",
    )
    ink = (AdapterRef(id="ink"),)
    assert refusal("a fox <lora:ink>", adapters=ink) == ("adapter 'ink' is named twice", "adapters")
    assert refusal("<lora:ink>")[0].endswith("say what to draw")
    assert refusal("a fox", negative_prompt="<lora:ink>")[1] == "negative_prompt"


def test_a_model_without_adapters_or_with_fewer_says_so() -> None:
    assert "does not take adapters" in refusal("a fox <lora:ink>", MODEL)[0]
    many = "".join(f"<lora:{name}>" for name in ("ink", "oil", "chalk", "pastel"))
    assert "takes at most 3 adapters; 4 were given" in refusal(f"a fox {many}")[0]


def test_a_recipe_tells_them_in_both_its_forms() -> None:
    adapters = resolved("a fox <lora:ink:0.8><lora:oil>").adapters
    recipe = a_recipe().model_copy(update={"adapters": adapters})
    assert parameters_text(recipe).splitlines()[0] == "a fox <lora:ink:0.8> <lora:oil:1>"
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_rows_and_recipes_of_earlier_versions_have_none() -> None:
    old = resolved("a fox").model_dump(exclude={"adapters"})
    assert ResolvedRequest.model_validate(old).adapters == ()
    assert Recipe.model_validate(a_recipe().model_dump(exclude={"adapters"})).adapters == ()
