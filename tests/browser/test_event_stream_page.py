"""An event stream in a real browser: it reads, connects again, and tells what it saw last."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.waiting import WITHIN

from channels.generic.http import AsyncHttpConsumer
from channels.generic.sse import AsyncEventStreamConsumer
from channels.routing import ProtocolTypeRouter, URLRouter, url
from channels.server import Server, ServerConfig

pytestmark = pytest.mark.slow

PAGE = b"""<!doctype html><title>Events</title><ol id=log></ol><script>
const source = new EventSource("/stream/");
function note(event) {
  const line = document.createElement("li");
  line.textContent = `${event.type} ${event.lastEventId}: ${event.data}`;
  document.getElementById("log").append(line);
}
source.addEventListener("message", note);
source.addEventListener("resumed", note);
</script>"""


class Page(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        await self.send_response(200, PAGE, headers=[(b"content-type", b"text/html")])


class Stream(AsyncEventStreamConsumer):
    retry = 10

    async def connect(self) -> None:
        await self.accept()
        if self.last_event_id is None:
            await self.send_event("two\nlines, größer", id="eins")
            await self.close()
        else:
            await self.send_json({"after": self.last_event_id}, event="resumed", id="zwei")

    async def disconnect(self) -> None:
        left.set()


left = threading.Event()


@pytest.fixture
def address() -> Iterator[str]:
    """The pages, served from a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    application = ProtocolTypeRouter(
        {"http": URLRouter([url(r"^page/$", Page), url(r"^stream/$", Stream)])}
    )
    server = Server(application, ServerConfig(port=0))

    def call(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(WITHIN)

    call(server.start())
    yield f"http://127.0.0.1:{server.addresses[0][1]}"
    call(server.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(WITHIN)
    loop.close()


def test_a_browser_reads_a_stream_and_connects_again(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/page/")
    page.get_by_text("resumed zwei").wait_for()
    assert page.locator("#log li").all_text_contents() == [
        "message eins: two\nlines, größer",
        'resumed zwei: {"after": "eins"}',
    ]
    left.clear()
    page.close()
    assert left.wait(WITHIN), "the consumer hears that the browser has gone"
