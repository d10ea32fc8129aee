"""docs/providers.md out of page.txt and what the models declare.

`python -m tests.providers.docs_page` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from server.domain.models import ModelInfo, ParameterInfo, SizeRule, TokenPrices
from server.domain.money import MICROS, Money
from server.providers import gemini, greenroom, openai
from server.providers.declared import PRICED_ON
from server.providers.gemini_models import KNOWN as GEMINI_MODELS
from server.providers.gemini_models import gemini_info
from server.providers.openai_models import KNOWN as OPENAI_MODELS
from server.providers.openai_models import MOST_A_CALL, openai_info
from tests.providers.services import connection

TEXT = Path(__file__).with_name("page.txt")
PAGE = Path(__file__).parents[2] / "docs" / "providers.md"


def page() -> str:
    """The whole page."""
    gemini_models = [gemini_info(connection("gemini", name, None)) for name in GEMINI_MODELS]
    openai_models = [openai_info(connection("openai", name, None)) for name in OPENAI_MODELS]
    compatible = openai_info(connection("openai", "any-model", "http://box:8080"))
    return TEXT.read_text().format(
        priced_on=f"{PRICED_ON:%-d %B %Y}",
        gemini_seconds=gemini.SECONDS,
        openai_pictures=MOST_A_CALL,
        openai_seconds=openai.SECONDS,
        greenroom_minutes=greenroom.SECONDS / 60,
        gemini_tables=_tables(gemini_models),
        openai_tables=_tables(openai_models),
        compatible_table=_parameters([compatible]).rstrip(),
    )


def _tables(models: list[ModelInfo]) -> str:
    return f"{_models(models)}\n{_parameters(models)}\n{_sizes(models)}".rstrip()


def _models(models: Iterable[ModelInfo]) -> str:
    rows = "".join(map(_model, models))
    return "| model | sizes | seed | references | a picture costs |\n|---|---|---|---|---|\n" + rows


def _model(info: ModelInfo) -> str:
    terms, references = info.remote, info.parameter("references")
    assert terms is not None
    rule = "the nearest declared" if terms.size_rule is SizeRule.NEAREST else "any in its limits"
    if terms.scales:
        rule += f", {' '.join(terms.scales)}"
    seed = "no" if terms.max_seed is None else "yes"
    most = 0 if references is None else references.maximum or 0
    return f"| `{terms.service_model}` | {rule} | {seed} | {most:g} | {_price(info)} |\n"


def _price(info: ModelInfo) -> str:
    assert info.remote is not None
    said = [f"{_dollars(one.cost)}{_when(one.when)}" for one in info.remote.prices] + _tokens(
        info.remote.token_prices
    )
    return "; ".join(said) or "not known"


def _when(when: object) -> str:
    values = " ".join(str(value) for value in dict(when).values())  # type: ignore[call-overload]
    return f" ({values})" if values else ""


def _tokens(prices: TokenPrices | None) -> list[str]:
    if prices is None:
        return []
    text, given, drawn = map(_dollars, (prices.text_in, prices.image_in, prices.image_out))
    return [f"{text} a million tokens of text, {given} of given pictures, {drawn} of drawn ones"]


def _dollars(money: Money) -> str:
    return f"${money.micros / MICROS:g}"


def _parameters(models: list[ModelInfo]) -> str:
    rows: dict[str, list[str]] = {}
    for info in models:
        assert info.remote is not None
        for one in info.parameters:
            rows.setdefault(_parameter(one, one.name), []).append(info.remote.service_model)
        for one in info.remote.options:
            rows.setdefault(_parameter(one, f"options.{one.name}"), []).append(
                info.remote.service_model
            )
    head = "| parameter | type | range | default | what it does |\n|---|---|---|---|---|\n"
    return head + "".join(
        row if len(of) == len(models) else row.replace(" |\n", f" (only {', '.join(of)}) |\n")
        for row, of in rows.items()
    )


def _parameter(one: ParameterInfo, name: str) -> str:
    if one.options:
        limits = ", ".join(one.options)
    elif one.maximum is not None:
        limits = f"{one.minimum or 0:g} to {one.maximum:g}"
    else:
        limits = ""
    default = "" if one.default is None else f"`{one.default}`"
    return f"| `{name}` | {one.type} | {limits} | {default} | {one.description} |\n"


def _sizes(models: list[ModelInfo]) -> str:
    found: dict[str, list[str]] = {}
    for info in models:
        sizes = ", ".join(f"{s.aspect_ratio} {s.width}x{s.height}" for s in info.sizes)
        found.setdefault(sizes, []).append(info.name)
    return "".join(f"Sizes of {', '.join(of)}: {sizes}.\n" for sizes, of in found.items())


if __name__ == "__main__":
    PAGE.write_text(page())
