"""Whatever stands in models.yaml, the registry is there and says what is wrong."""

import string
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.models import ModelState
from server.registry.files import parse
from server.registry.nodes import read
from server.registry.overlay import as_yaml
from server.registry.schema import Head, ModelEntry, PartEntry, SourceEntry
from tests.registry.yaml_files import registry

KEYS = sorted(
    {key for kind in (Head, ModelEntry, SourceEntry, PartEntry) for key in kind.model_fields}
    | {"models"}
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["sdxl", "flux", "a/b", "x.ckpt", "1:1", "128x128", "../..", "{prompt}"])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
SOURCES = dict.fromkeys(SourceEntry.model_fields, VALUES)
ENTRIES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(ModelEntry.model_fields, VALUES)
) | st.fixed_dictionaries(
    {
        "id": st.text(string.ascii_lowercase, min_size=1, max_size=2),
        "name": st.just("x"),
        "family": st.sampled_from(["sdxl", "flux"]),
        "licence": st.just("x"),
        "gated": st.booleans(),
        "description": st.just("x"),
        "sizes": st.sampled_from([{"1:1": "128x128"}, "set", {"1:1": "8x8"}]),
        "source": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(SourceEntry.model_fields, VALUES)
        ),
    },
    optional=dict.fromkeys(("defaults", "limits", "parts", "base", "without", "styles"), VALUES),
)


def _stays_up(text: bytes) -> None:
    with TemporaryDirectory() as folder:
        found = registry(Path(folder), text)
        assert all(broken.reason for broken in found.broken())
        for info in found.infos():
            state, reason = found.status(info.id)
            assert (reason is None) == (state is ModelState.READY)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes_leave_a_registry(data: bytes) -> None:
    parse(b"models:\n" + data, "models.yaml")
    _stays_up(data)


@settings(max_examples=150, deadline=None)
@given(st.lists(ENTRIES, max_size=3), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=2))
def test_any_values_in_the_right_places_leave_a_registry(
    entries: list[dict[str, Any]], head: dict[str, Any]
) -> None:
    _stays_up(yaml.safe_dump({**head, "models": entries}, allow_unicode=True).encode())


PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(max_size=8), PLAIN))
def test_what_the_overlay_writes_is_read_back_the_same(fields: dict[str, Any]) -> None:
    document = read(as_yaml(fields))
    assert (document.value, document.troubles) == (fields, ())
