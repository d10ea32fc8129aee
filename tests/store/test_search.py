from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.store.search import words
from server.store.store import Store
from tests.store.test_images import a_kept_job, kept

PROMPTS = {
    "fox": "A red fox, sitting in the snow; photo",
    "cafe": "Café façade in São Paulo — naïve style",
    "street": "Große Straße bei Nacht (35mm)",
    "greek": "ΣΊΣΥΦΟΣ pushes a stone",
    "cyrillic": "Ёжик в тумане",
    "tokyo": "東京 tower, neon",
    "quotes": 'the "fox\'s" den: AND OR NOT NEAR(fox)',
    "devanagari": "हिन्दी पुस्तक",
}
# One list for both databases: what is asked, and what it finds.
CASES: list[tuple[str, Sequence[str]]] = [
    ("fox", ["fox", "quotes"]),
    ("FOX", ["fox", "quotes"]),
    ("fo", ["fox", "quotes"]),
    ("ox", []),
    ("foxes", []),
    ("fox snow", ["fox"]),
    ("snow fox", ["fox"]),
    ("fox tower", []),
    ("sit", ["fox"]),
    ("sat", []),
    ("cafe", ["cafe"]),
    ("CAFÉ", ["cafe"]),
    ("cafe\u0301", ["cafe"]),
    ("facade sao", ["cafe"]),
    ("naive", ["cafe"]),
    ("strasse", ["street"]),
    ("STRAẞE", ["street"]),
    ("35", ["street"]),
    ("35MM", ["street"]),
    ("σισυφος", ["greek"]),
    ("ежик", ["cyrillic"]),
    ("東", ["tokyo"]),
    ("京", []),
    ("and", ["quotes"]),
    ("not near", ["quotes"]),
    ("fox's", ["quotes", "fox"]),
    ('"red fox"', ["fox"]),
    ("fox*", ["fox", "quotes"]),
    ("-fox", ["fox", "quotes"]),
    ("fox:*", ["fox", "quotes"]),
    ("हिन्दी", ["devanagari"]),
]
HOSTILE = [
    *("", " ", "***", '"', '""', "'", "\\", "(", "NEAR(", "a AND", "NOT", "OR OR", "^fox"),
    *("words:fox", "image_id:0", "{words}: fox", "fox & !snow", "fox | snow", "<->", ":*"),
    *("'fox':*", "\0", "fox\0", "fo\0x", "\ud800", "'; DROP TABLE images; --", "%", "_"),
    *("x" * 5000, "y " * 5000, "\u200b", "💻", "\U000323af", "\u0301", "fox\n\tsnow"),
]


async def searchable(store: Store) -> dict[str, str]:
    job = await a_kept_job(store)
    return {
        (await kept(store, job, i, b"same", prompt=prompt)).id: name
        for i, (name, prompt) in enumerate(PROMPTS.items())
    }


async def test_words_are_found_by_their_beginnings_without_case_and_accents(store: Store) -> None:
    names = await searchable(store)
    found = {}
    for query, _ in CASES:
        page = await store.images.list("ana", cursor=None, limit=50, query=query)
        found[query] = sorted(names[image.id] for image in page.items)
    expected = {query: sorted(wanted) for query, wanted in CASES}
    # "fox's" are two words, fox and s: the snow's s begins with it.
    assert found == expected


async def test_hostile_queries_find_what_their_words_say_and_never_fail(store: Store) -> None:
    names = await searchable(store)
    for query in HOSTILE:
        page = await store.images.list("ana", cursor=None, limit=50, query=query)
        if not words(query):
            assert len(page.items) == len(names)


@given(query=st.text(max_size=60))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_no_query_fails(store: Store, query: str) -> None:
    await store.images.list("ana", cursor=None, limit=5, query=query)


@given(prompt=st.text(alphabet=st.characters(categories=["L", "N", "P", "Z"], max_codepoint=0x24F)))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_every_word_of_a_latin_prompt_finds_it(store: Store, prompt: str) -> None:
    job = await a_kept_job(store)
    image = await kept(store, job, 0, b"same", prompt=prompt)
    for word in words(prompt):
        page = await store.images.list("ana", cursor=None, limit=1, query=word)
        assert page.items == (image,)


@given(prose=st.text())
def test_folding_twice_is_folding_once(prose: str) -> None:
    once = words(prose)
    assert words(" ".join(once)) == once


async def test_a_search_is_paged_filtered_and_only_the_owners(store: Store) -> None:
    job, other = await a_kept_job(store), await a_kept_job(store, "bob")
    made = [await kept(store, job, i, b"same", prompt=f"fox {i}") for i in range(3)]
    await kept(store, other, 0, b"same", prompt="fox")
    page = await store.images.list("ana", cursor=None, limit=2, query="fox")
    assert (page.items, page.next_cursor) == ((made[2], made[1]), made[1].id)
    page = await store.images.list("ana", cursor=page.next_cursor, limit=2, query="fox")
    assert (page.items, page.next_cursor) == ((made[0],), None)
    page = await store.images.list("ana", cursor=None, limit=2, query="fox", model="none")
    assert page.items == ()


async def test_a_deleted_picture_is_not_found_and_others_are(store: Store) -> None:
    job = await a_kept_job(store)
    one = await kept(store, job, 0, b"same", prompt="fox")
    two = await kept(store, job, 1, b"same", prompt="fox")
    await store.images.delete(one.id, "ana")
    page = await store.images.list("ana", cursor=None, limit=5, query="fox")
    assert page.items == (two,)


@pytest.mark.parametrize("prompt", ["\0", "💻", "...", "x" * 2000, "\ud7ff"])
async def test_prompts_without_words_or_with_long_ones_are_kept(store: Store, prompt: str) -> None:
    job = await a_kept_job(store)
    image = await kept(store, job, 0, b"data", prompt=prompt)
    page = await store.images.list("ana", cursor=None, limit=5, query=prompt)
    assert page.items == (image,)
