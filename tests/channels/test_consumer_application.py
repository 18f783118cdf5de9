"""What serves a scope: a consumer's class, what `as_asgi` makes of it, or an instance."""

from __future__ import annotations

from typing import Any

import pytest
from recording_consumer import SCOPE, Recorder, opened, run

from channels.consumer import AsyncConsumer, as_application
from channels.testing import ApplicationCommunicator
from channels.types import Message

pytestmark = pytest.mark.usefixtures("layer")


def test_as_asgi_makes_an_instance_per_scope_and_tells_its_class() -> None:
    class WithArgument(AsyncConsumer):
        """A consumer with an argument."""

        def __init__(self, answer: str) -> None:
            self.answer = answer

        async def websocket_connect(self, message: Message) -> None:
            await self.send({"type": "answer", "text": self.answer, "self": id(self)})

    app = WithArgument.as_asgi(answer="42")
    assert app.consumer_class is WithArgument  # type: ignore[attr-defined]
    assert app.consumer_initkwargs == {"answer": "42"}  # type: ignore[attr-defined]
    assert app.__name__ == "WithArgument"  # type: ignore[attr-defined]
    assert app.__doc__ == "A consumer with an argument."

    async def test() -> None:
        one, two = (ApplicationCommunicator(app, dict(SCOPE)) for _ in range(2))
        answers = []
        for client in (one, two):
            await client.send_input({"type": "websocket.connect"})
            answers.append(await client.receive_output())
        assert [answer["text"] for answer in answers] == ["42", "42"]
        assert answers[0]["self"] != answers[1]["self"]
        for client in (one, two):
            await client.send_input({"type": "websocket.disconnect", "code": 1000})
            await client.wait()

    run(test)


def test_a_consumer_class_is_wrapped_and_applications_are_left_alone() -> None:
    app = Recorder.as_asgi()
    assert as_application(app) is app
    assert as_application(Recorder).consumer_class is Recorder  # type: ignore[attr-defined]


# -- an instance as an application -------------------------------------------------


def test_an_instance_used_as_application_keeps_its_connections_apart() -> None:
    class Named(AsyncConsumer):
        async def websocket_receive(self, message: Message) -> None:
            if not hasattr(self, "name"):
                self.name = message["text"]
            await self.send({"type": "name", "text": self.name})

    async def test() -> list[str]:
        app = Named()
        clients = [ApplicationCommunicator(app, dict(SCOPE)) for _ in range(2)]
        names = []
        for client, name in zip(clients, ("ada", "grace"), strict=True):
            await client.send_input({"type": "websocket.receive", "text": name})
            names.append((await client.receive_output())["text"])
        for client in clients:
            await client.send_input({"type": "websocket.disconnect", "code": 1000})
            await client.wait()
        return names

    assert run(test) == ["ada", "grace"]


class Delegating(Recorder):
    """Hands on what it does not know, and keeps something in a slot."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.behind = object()
        self.kept = "kept"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)

    async def websocket_receive(self, message: Message) -> None:
        await self.send({"type": "websocket.send", "text": self.kept})


def test_an_instance_with_attributes_of_any_kind_serves_several_connections() -> None:
    async def test() -> None:
        app = Delegating()
        clients = [ApplicationCommunicator(app, SCOPE) for _ in range(2)]
        for client in clients:
            await client.send_input({"type": "websocket.connect"})
            assert (await client.receive_output())["type"] == "websocket.accept"
        for client in clients:
            await client.send_input({"type": "websocket.receive", "text": ""})
            assert (await client.receive_output())["text"] == "kept"
            await client.send_input({"type": "websocket.disconnect", "code": 1000})
            await client.wait()

    run(test)


def test_an_instance_shows_afterwards_what_its_connection_set() -> None:
    class Named(AsyncConsumer):
        async def websocket_receive(self, message: Message) -> None:
            self.name = message["text"]
            await self.send({"type": "name"})

    async def test() -> str:
        app = Named()
        client = ApplicationCommunicator(app, dict(SCOPE))
        await client.send_input({"type": "websocket.receive", "text": "ada"})
        await client.receive_output()
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.wait()
        return str(app.name)

    assert run(test) == "ada"


def test_an_instance_with_a_call_of_its_own_is_the_one_that_serves() -> None:
    """As multiplexers do: they keep what they need on themselves first."""

    class Prepared(Recorder):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            self.prepared = "yes"
            await super().__call__(scope, receive, send)

        async def websocket_receive(self, message: Message) -> None:
            await self.send({"type": "websocket.send", "text": self.prepared})

    async def test() -> None:
        app = Prepared()
        client, _ = await opened(app)
        await client.send_input({"type": "websocket.receive", "text": "?"})
        assert (await client.receive_output())["text"] == "yes"
        assert app.channel_name
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()

    run(test)
