"""Open pages in a real browser, watch them, and check that everyone can use them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SCRIPT = (Path(__file__).parent / "pages.js").read_text(encoding="utf-8")


@contextlib.contextmanager
def opened(browser: Any, page: Path, **options: Any) -> Iterator[Any]:
    """Open a page from disk; complain at the end about console messages and requests to anywhere but the disk.

    Args:
        browser: The fixture of that name.
        page: An HTML file.
        options: Those of a playwright context, such as `color_scheme`.
    """
    # Colours on their way from one to the other have no contrast to be judged by.
    context = browser.new_context(**{"reduced_motion": "reduce", **options})
    tab = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.as_uri())
    try:
        yield tab
    finally:
        context.close()
    assert messages == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)


def faults(tab: Any) -> list[str]:
    """Return what would keep somebody from using the page as it is now: contrast, names, alternative texts, width."""
    return tab.evaluate(_SCRIPT)
