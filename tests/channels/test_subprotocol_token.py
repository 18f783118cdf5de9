"""Users by a token among the subprotocols, which is taken out, and its marker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from calls import CONNECT, Recorder, call, http_scope, websocket_scope
from django.contrib.auth.models import AnonymousUser
from tokens import ADA, OTHER, TOKEN, asked, auser_of, offering, refusal, user_of

from channels.generic.websocket import WebsocketConsumer
from channels.mailbox import DirectReceive, Mailbox
from channels.security.authentication import AuthenticationMiddleware, SubprotocolToken
from channels.testing import WebsocketCommunicator

pytestmark = pytest.mark.usefixtures("nothing_logged_holds_a_token")


def accepting(subprotocol: str | None = None) -> dict[str, Any]:
    return {"type": "websocket.accept", "subprotocol": subprotocol}


def accepted(scope: dict[str, Any], subprotocol: str | None, **options: Any) -> Any:
    app = Recorder(accepting(subprotocol), {"type": "websocket.send", "text": "hello"})
    authenticator = SubprotocolToken(user_of, **options)
    accept, message = call(AuthenticationMiddleware(app, [authenticator]), scope, [CONNECT])
    assert message == {"type": "websocket.send", "text": "hello"}
    return accept["subprotocol"]


@pytest.mark.parametrize("verify", [user_of, auser_of])
def test_a_subprotocol_gives_its_user_and_is_taken_out(verify: Any) -> None:
    scope = offering("chat.v2", "bearer", f"bearer.{TOKEN}", "chat.v1")
    inner, _ = asked([SubprotocolToken(verify)], scope)
    assert inner["user"] is ADA
    assert inner["subprotocols"] == ["chat.v2", "chat.v1"]
    assert inner["headers"] == [(b"host", b"a"), (b"sec-websocket-protocol", b"chat.v2, chat.v1")]
    assert len(scope["subprotocols"]) == 4, "the caller's scope stays as it was"


def test_a_header_that_held_only_the_token_is_gone() -> None:
    inner, _ = asked([SubprotocolToken(user_of)], offering("bearer", f"bearer.{TOKEN}"))
    assert inner["subprotocols"] == []
    assert inner["headers"] == [(b"host", b"a")]


def test_several_headers_of_subprotocols_are_cleaned() -> None:
    headers = [
        (b"Sec-WebSocket-Protocol", b"bearer,chat"),
        (b"sec-websocket-protocol", f" bearer.{TOKEN}".encode()),
    ]
    scope = websocket_scope(headers=headers, subprotocols=["bearer", "chat", f"bearer.{TOKEN}"])
    inner, _ = asked([SubprotocolToken(user_of)], scope)
    assert inner["headers"] == [(b"Sec-WebSocket-Protocol", b"chat")]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("bearer", "bearer."), "no token behind 'bearer.'"),
        (("bearer.a", "bearer.b"), "Several subprotocols begin with 'bearer.'"),
        (("bearer." + "a" * 8193,), "longer than 8192 bytes"),
        (("bearer.YTpi==",), "base64url without padding"),
        (("bearer.a/b",), "base64url without padding"),
        ((f"bearer.{OTHER}",), "Authentication failed."),
    ],
)
def test_a_wrong_token_among_the_subprotocols_is_refused(names: tuple[str, ...], text: str) -> None:
    assert text in refusal([SubprotocolToken(user_of)], offering(*names))


def test_a_marker_alone_is_an_ordinary_subprotocol() -> None:
    inner, _ = asked([SubprotocolToken(user_of)], offering("bearer", "chat"))
    assert isinstance(inner["user"], AnonymousUser)
    assert inner["subprotocols"] == ["bearer", "chat"]
    assert accepted(offering("bearer"), None) is None


def test_requests_have_no_subprotocols() -> None:
    inner, _ = asked([SubprotocolToken(user_of)], http_scope(subprotocols=[f"bearer.{TOKEN}"]))
    assert isinstance(inner["user"], AnonymousUser)


def test_the_marker_is_chosen_where_the_application_chooses_none() -> None:
    both = ("bearer", f"bearer.{TOKEN}")
    assert accepted(offering(*both), None) == "bearer"
    assert accepted(offering(*both, "chat"), None) == "bearer"
    assert accepted(offering(*both, "chat"), "chat") == "chat"
    assert accepted(offering(*both, "chat"), "bearer") == "bearer"
    assert accepted(offering(f"bearer.{TOKEN}"), None) is None, "it was not offered"
    assert accepted(offering("jwt", f"jwt.{TOKEN}"), None, name="jwt") == "jwt"


@pytest.mark.parametrize(
    ("chosen", "came"),
    [(f"bearer.{TOKEN}", "the one that carries the token"), ("soap", "'soap'")],
)
def test_choosing_what_is_not_offered_is_an_error_without_the_token(chosen: str, came: str) -> None:
    with pytest.raises(ValueError, match="is one of scope") as caught:
        accepted(offering("bearer", f"bearer.{TOKEN}"), chosen)
    assert str(caught.value).endswith(f"but came {came}.")
    assert TOKEN not in str(caught.value)


def test_the_name_of_the_marker_can_be_a_subprotocol() -> None:
    with pytest.raises(ValueError, match="came 'my token'"):
        SubprotocolToken(user_of, name="my token")


def test_a_sync_consumer_gets_the_marker_too() -> None:
    class Consumer(WebsocketConsumer):
        def connect(self) -> None:
            self.accept()
            self.send(self.scope["user"].username)

    async def run() -> None:
        app = AuthenticationMiddleware(Consumer, [SubprotocolToken(user_of)])
        offered = ["bearer", f"bearer.{TOKEN}"]
        async with WebsocketCommunicator(app, "/", subprotocols=offered) as client:
            assert await client.connect() == (True, "bearer")
            assert await client.receive_from() == "ada"

    asyncio.run(run())


# -- the way of a message ----------------------------------------------------------


def ports(scope: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """What our server gives to an application, and what this then got."""

    async def run() -> tuple[Any, Any, Any, Any]:
        got: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            got.extend([receive, send])

        async def send(message: Any) -> None:
            pass

        receive = DirectReceive(Mailbox(asyncio.get_running_loop()), send, None)
        await AuthenticationMiddleware(app, [SubprotocolToken(user_of)])(scope, receive, send)
        return receive, send, *got

    return asyncio.run(run())


def test_without_a_token_the_consumer_stands_directly_on_the_server() -> None:
    receive, send, inner_receive, inner_send = ports(offering("bearer", "chat"))
    assert (inner_receive, inner_send) == (receive, send)


def test_with_a_token_the_consumer_still_reads_the_servers_mailbox() -> None:
    receive, send, inner_receive, inner_send = ports(offering("bearer", f"bearer.{TOKEN}"))
    assert inner_send is not send
    assert type(inner_receive) is DirectReceive
    assert inner_receive.send is inner_send
    assert inner_receive.mailbox is receive.mailbox
