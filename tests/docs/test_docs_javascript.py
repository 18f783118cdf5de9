"""The JavaScript of the documentation, as a real browser reads it."""

from __future__ import annotations

from typing import Any

import pytest
from doc_pages import PAGES, Block, blocks

pytestmark = pytest.mark.slow

SCRIPTS = [block for page in PAGES for block in blocks(page) if block.language == "js"]
# The body of a function that may await: compiled, not called.
COMPILE = "code => { (async () => {}).constructor(code); }"


@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: block.place)
def test_a_browser_understands_it(browser: Any, block: Block) -> None:
    page = browser.new_page()
    page.evaluate(COMPILE, block.code)
    page.close()


def test_what_a_browser_does_not_understand_is_noticed(browser: Any) -> None:
    page = browser.new_page()
    with pytest.raises(Exception, match="SyntaxError"):
        page.evaluate(COMPILE, "const = 1;")
    page.close()
