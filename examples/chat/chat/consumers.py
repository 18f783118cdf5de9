"""Each open page has a consumer of its own. Its methods run one at a time: no locks needed."""

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from .models import Message, Room

HISTORY, MAX_TEXT, MAX_NAME = 50, 2000, 30


class ChatConsumer(AsyncJsonWebsocketConsumer):
    room = None  # set when this socket is let in; disconnect() runs for the others too

    async def connect(self):
        self.user = self.scope["user"]
        address = self.scope["url_route"]["kwargs"]
        if self.user.is_authenticated:
            self.room = await Room.objects.filter(slug=address["slug"]).afirst()
        if self.room is None:
            return await self.close()  # before accept(), this answers 403
        self.group = f"room.{self.room.slug}"
        await self.accept()
        # First join, then read: what is said in between waits for us, and the
        # page skips what it gets twice. The other way round it would be missed.
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.send_json(await self.history(address["since"]))
        await self.tell_room(type="line", text=f"{self.name} joined")

    async def disconnect(self, code):
        if self.room is not None:
            await self.channel_layer.group_discard(self.group, self.channel_name)
            await self.tell_room(type="line", text=f"{self.name} left")

    async def receive_json(self, content):
        key, text = str(content["key"])[:40], str(content["text"]).strip()
        if text.split(maxsplit=1)[:1] == ["/name"]:
            error = await self.rename(text.removeprefix("/name").strip())
        else:
            error = await self.say(key, text)
        # The page keeps what it sent until it sees this, and sends it again after a reconnect.
        await self.send_json({"type": "reply", "key": key, "error": error})

    async def say(self, key, text):
        if not 0 < len(text) <= MAX_TEXT:
            return f"A message has 1 to {MAX_TEXT} characters; yours has {len(text)}."
        message = await self.save(key, text)  # nobody sees what is not in the database
        await self.tell_room(type="messages", messages=[message])

    async def rename(self, name):
        if not 0 < len(name) <= MAX_NAME:
            return f"A name has 1 to {MAX_NAME} characters; yours has {len(name)}. Try: /name Ada"
        before, self.user.first_name = self.name, name
        await self.user.asave(update_fields=["first_name"])
        await self.tell_room(type="line", text=f"{before} is now {name}")

    async def tell_room(self, **event):
        await self.channel_layer.group_send(self.group, {"type": "room.event", "event": event})

    async def room_event(self, message):
        """What `tell_room` sends arrives here, in the consumer of every page in the room."""
        await self.send_json(message["event"])

    @property
    def name(self):
        return self.user.first_name or self.user.username

    # Blocking code, such as most uses of the ORM, belongs in a thread.
    @database_sync_to_async
    def history(self, since):
        newer = self.room.message_set.filter(id__gt=since).select_related("author").order_by("-id")
        messages = [message.as_json() for message in reversed(newer[:HISTORY])]
        return {"type": "messages", "messages": messages, "gap": len(messages) == HISTORY}

    @database_sync_to_async
    def save(self, key, text):
        self.user.refresh_from_db(fields=["first_name"])  # /name in another tab
        message, _ = Message.objects.get_or_create(
            room=self.room, author=self.user, key=key, defaults={"text": text}
        )
        return message.as_json()
