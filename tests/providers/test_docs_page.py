"""docs/providers.md says what the code declares."""

from tests.providers.docs_page import PAGE, page


def test_the_providers_page_is_what_the_declarations_say() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.providers.docs_page"
