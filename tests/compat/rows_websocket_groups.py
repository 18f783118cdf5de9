"""The `groups` of WebSocket consumers, and what the layer can make them do."""

from __future__ import annotations

from typing import Any

from django.test.utils import override_settings
from tests.compat.behaviours import Rows, set_up_django
from tests.compat.driving import CONNECT, DISCONNECT, Client, drive

set_up_django()

from tests.compat.colours import both, consumer  # noqa: E402

from channels.generic.websocket import WebsocketConsumer  # noqa: E402
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer  # noqa: E402

row = Rows()

ACCEPTED = {"type": "websocket.accept", "subprotocol": None}
CLOSED = {"type": "websocket.close"}


async def joined(**members: Any) -> Any:
    """The groups that a consumer is in, when its `connect` runs and after its end."""

    async def observe(colour: str) -> Any:
        channel_layers.backends = {}
        seen: dict[str, Any] = {}

        def connect(self: Any) -> Any:
            groups = self.channel_layer.groups
            seen["in connect"] = sorted(
                name for name in groups if self.channel_name in groups[name]
            )
            yield self.accept()

        result = await drive(
            consumer(colour, connect=connect, **members).as_asgi(), CONNECT, DISCONNECT
        )
        seen["afterwards"] = sorted(get_channel_layer().groups)
        return {**seen, "ended": result["ended"]}

    return await both(observe)


def ends(*groups: str) -> dict[str, Any]:
    return {"in connect": list(groups), "afterwards": [], "ended": "returned"}


@row(upstream=[ends("a", "b"), ends("a", "b"), ends("a"), ends("a", "b"), ends(), ends()])
async def groups_are_joined_before_connect_and_left_after() -> Any:
    """A list, a tuple, a property, a set, an empty list, None."""
    return [
        await joined(groups=["a", "b"]),
        await joined(groups=("a", "b")),
        await joined(groups=property(lambda self: ["a"])),
        await joined(groups={"a", "b"}),
        await joined(groups=[]),
        await joined(groups=None),
    ]


@row(upstream=[ends("a"), ends("a")])
async def groups_may_be_set_by_the_constructor() -> Any:
    def before(self: Any) -> None:
        self.groups = ["a"]
        super(type(self), self).__init__()

    def after(self: Any) -> None:
        super(type(self), self).__init__()
        self.groups = ["a"]

    return [await joined(__init__=before), await joined(__init__=after)]


@row(upstream="AttributeError")
async def a_property_of_groups_cannot_use_the_scope() -> Any:
    """The constructor looks at it already."""
    seen = await joined(groups=property(lambda self: [self.scope["path"]]))
    return seen["ended"]["raises"]


@row(upstream=["ab"])
async def a_text_as_groups_is_its_letters() -> Any:
    seen = await joined(groups="ab")
    return ["".join(seen["in connect"])]


@row(upstream={"the default": None, "of an instance": [], "shared": False, "given": True})
def groups_of_the_class_and_of_an_instance() -> Any:
    class Given(WebsocketConsumer):
        groups = ["a"]

    one, other = WebsocketConsumer(), WebsocketConsumer()
    return {
        "the default": WebsocketConsumer.groups,
        "of an instance": one.groups,
        "shared": one.groups is other.groups,
        "given": Given().groups is Given.groups,
    }


async def failing(members: dict[str, Any], *events: Any) -> Any:
    async def observe(colour: str) -> Any:
        result = await drive(consumer(colour, **members).as_asgi(), *events)
        return result["ended"]

    return await both(observe)


UNCONFIGURED = "BACKEND is unconfigured or doesn't support groups"


@row(
    upstream={"raises": "InvalidChannelLayerError", "says": UNCONFIGURED},
    ours={"raises": "InvalidChannelLayerError", "says": f"{UNCONFIGURED}, and what to set"},
)
async def groups_without_a_layer() -> Any:
    with override_settings(CHANNEL_LAYERS={}):
        seen = await failing({"groups": ["a"]}, CONNECT)
    if seen["says"].startswith(f"{UNCONFIGURED}. ") and "CHANNEL_LAYERS" in seen["says"]:
        seen["says"] = f"{UNCONFIGURED}, and what to set"
    return seen


@row(upstream=[ACCEPTED])
async def no_groups_need_no_layer() -> Any:
    async def observe(colour: str) -> Any:
        return (await drive(consumer(colour).as_asgi(), CONNECT, DISCONNECT))["sent"]

    with override_settings(CHANNEL_LAYERS={}):
        return await both(observe)


class Broken(InMemoryChannelLayer):
    """Has a mistake of its own."""

    async def group_add(self, group: str, channel: str) -> None:
        raise AttributeError("a mistake in the layer")


class Stuck(InMemoryChannelLayer):
    async def group_discard(self, group: str, channel: str) -> None:
        raise OSError("no engine")


@row(
    upstream={"raises": "InvalidChannelLayerError", "says": UNCONFIGURED},
    ours={"raises": "AttributeError", "says": "a mistake in the layer"},
)
async def an_attribute_error_inside_a_layer() -> Any:
    channel_layers.set("default", Broken())
    try:
        return await failing({"groups": ["a"]}, CONNECT)
    finally:
        channel_layers.backends = {}


@row(
    upstream={"codes": [], "ended": {"raises": "OSError", "says": "no engine"}},
    ours={"codes": [1001, 1001], "ended": {"raises": "OSError", "says": "no engine"}},
)
async def a_group_that_cannot_be_left() -> Any:
    """Whether `disconnect` runs all the same, in both colours."""
    codes: list[Any] = []

    def disconnect(self: Any, code: Any) -> Any:
        codes.append(code)
        return
        yield

    channel_layers.set("default", Stuck())
    try:
        ended = await failing({"groups": ["a"], "disconnect": disconnect}, CONNECT, DISCONNECT)
    finally:
        channel_layers.backends = {}
    return {"codes": codes, "ended": ended}


# -- messages of the layer -------------------------------------------------


def room_say(self: Any, event: Any) -> Any:
    yield self.send(event["text"])


async def heard_by_a_group(*messages: Any, **members: Any) -> Any:
    """What a member sends for these group messages, and one more."""

    async def observe(colour: str) -> Any:
        channel_layers.backends = {}
        kind = consumer(colour, groups=["room"], room_say=room_say, **members)
        async with Client(kind.as_asgi()) as client:
            client.say(CONNECT)
            await client.wait_for(lambda: client.sent)
            for message in (*messages, {"type": "room.say", "text": "last"}):
                await get_channel_layer().group_send("room", message)
            await client.wait_for(lambda: client.sent[-1].get("text") == "last")
            ended = await client.ending(0.05)
            return client.sent[1:] if ended == "goes on" else {"ended": ended}

    return await both(observe)


def says(text: str) -> dict[str, str]:
    return {"type": "websocket.send", "text": text}


@row(upstream=[says("a"), says("b"), says("last")])
async def group_messages_reach_their_handler_in_order() -> Any:
    return await heard_by_a_group(*({"type": "room.say", "text": text} for text in "ab"))


@row(upstream=["close", "last"], ours=["last"])
async def a_group_message_that_names_close() -> Any:
    seen = await heard_by_a_group({"type": "close"})
    return [event.get("text", "close") for event in seen]


@row(upstream={"ended": "returned"}, ours=[says("last")])
async def a_group_message_that_says_the_client_has_left() -> Any:
    return await heard_by_a_group({"type": "websocket.disconnect", "code": 1000})


@row(upstream=[says("for receive"), says("last")], ours=[says("last")])
async def a_group_message_that_speaks_as_the_client() -> Any:
    def receive(self: Any, text_data: Any = None, bytes_data: Any = None) -> Any:
        yield self.send(text_data)

    return await heard_by_a_group(
        {"type": "websocket.receive", "text": "for receive"}, receive=receive
    )


@row(upstream=[says("last")])
async def a_group_message_may_have_the_keys_of_an_event() -> Any:
    """`text` and `bytes` mean nothing in a message for a handler of one's own."""

    def room_odd(self: Any, event: Any) -> Any:
        assert event == {"type": "room.odd", "text": None, "code": 5}
        return
        yield

    return await heard_by_a_group({"type": "room.odd", "text": None, "code": 5}, room_odd=room_odd)


@row(upstream=["to all", "to all"])
async def a_sender_hears_itself_like_every_member() -> Any:
    def receive(self: Any, text_data: Any = None, bytes_data: Any = None) -> Any:
        yield self.channel_layer.group_send("room", {"type": "room.say", "text": text_data})

    async def observe(colour: str) -> Any:
        channel_layers.backends = {}
        kind = consumer(colour, groups=["room"], room_say=room_say, receive=receive)
        async with Client(kind.as_asgi()) as one, Client(kind.as_asgi()) as other:
            for client in (one, other):
                client.say(CONNECT)
                await client.wait_for(lambda client=client: client.sent)
            one.say({"type": "websocket.receive", "text": "to all"})
            for client in (one, other):
                await client.wait_for(lambda client=client: len(client.sent) == 2)
            return [client.sent[1]["text"] for client in (one, other)]

    return await both(observe)
