from asgiref.sync import async_to_sync
from channelsmultiplexer import AsyncJsonWebsocketDemultiplexer
from django.contrib.auth import get_user_model
from django.db import transaction

from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
)


class Echo(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.accept()
        await self.send_json({"hello": self.scope["demultiplexer_cls"].__name__})

    async def receive_json(self, content):
        if content == "close":
            await self.close(code=4123)
        else:
            await self.send_json({"echo": content})


class Prices(JsonWebsocketConsumer):
    """A blocking consumer with a group, beside the others on one socket."""

    groups = ["prices"]

    def connect(self):
        self.accept()
        self.send_json({"users": get_user_model().objects.count()})

    def receive_json(self, content):
        users = get_user_model().objects.count()
        event = {"type": "price.changed", "price": content["price"], "users": users}
        async_to_sync(self.channel_layer.group_send)("prices", event)

    def price_changed(self, event):
        self.send_json({"price": event["price"], "users": event["users"]})


class Trades(AsyncJsonWebsocketConsumer):
    groups = ["prices"]

    async def connect(self):
        await self.accept()
        await self.send_json({"users": await get_user_model().objects.acount()})

    async def receive_json(self, content):
        users = await get_user_model().objects.acount()
        await self.send_json({"sold": content, "users": users})

    async def price_changed(self, event):
        await self.send_json({"trade at": event["price"]})


class Names(AsyncJsonWebsocketConsumer):
    """Reads row by row, with other consumers' calls between the rows."""

    async def connect(self):
        await self.accept()
        await self.send_json({"ready": True})

    async def receive_json(self, content):
        users = get_user_model().objects
        await users.abulk_create(users.model(username=name) for name in content)
        rows = users.filter(username__in=content).order_by("username")
        names = [user.username async for user in rows.aiterator(chunk_size=1)]
        await self.send_json(names)


class Clerk(JsonWebsocketConsumer):
    """The same with blocking code, in a transaction."""

    def connect(self):
        self.accept()
        self.send_json({"ready": True})

    def receive_json(self, content):
        users = get_user_model().objects
        with transaction.atomic():
            users.bulk_create(users.model(username=name) for name in content)
            rows = users.filter(username__in=content).order_by("username")
            names = []
            for user in rows.iterator(chunk_size=1):
                # What asks the event loop in between comes back to the same cursor.
                names.append(async_to_sync(reversed_name)(user))
            self.send_json(names)


async def reversed_name(user):
    return user.username[::-1]


class Refusing(AsyncWebsocketConsumer):
    async def connect(self):
        await self.close()


class Exchange(AsyncJsonWebsocketDemultiplexer):
    applications = {
        "echo": Echo.as_asgi(),
        "prices": Prices.as_asgi(),
        "trades": Trades.as_asgi(),
    }
