import json

from asgiref.sync import async_to_sync
from django.contrib.auth import authenticate
from django.db import transaction

from channels.auth import login, logout
from channels.db import database_sync_to_async
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer

from .models import Note
from .signals import group_of


class NoteConsumer(JsonWebsocketConsumer):
    """A user's notes, as they are written, on the blocking side of Django."""

    def connect(self):
        self.user = self.scope["user"]
        if not self.user.is_authenticated:
            self.close(code=4401)
            return
        async_to_sync(self.channel_layer.group_add)(group_of(self.user.pk), self.channel_name)
        self.accept()
        self.send_json({"unread": [str(note) for note in self.unread()]})

    def disconnect(self, code):
        async_to_sync(self.channel_layer.group_discard)(group_of(self.user.pk), self.channel_name)

    def unread(self):
        return Note.objects.filter(recipient=self.user, read=False)

    def receive_json(self, content):
        if "read" in content:
            with transaction.atomic():
                changed = self.unread().filter(pk=content["read"]).update(read=True)
            self.send_json({"read": changed, "left": self.unread().count()})
        elif "write_to_myself" in content:
            Note.objects.create(recipient=self.user, text=content["write_to_myself"])
            self.send_json({"written": content["write_to_myself"]})
        elif content.get("look"):
            session = self.scope["session"]
            session["looked_at"] = session.get("looked_at", 0) + 1
            session.save()
            self.send_json({"looked_at": session["looked_at"]})
        else:
            self.close(code=4400)

    def note_written(self, event):
        self.send_json({"id": event["id"], "text": event["text"]})


class UnreadConsumer(AsyncJsonWebsocketConsumer):
    """How many notes are unread, now and after each new one, on the asynchronous side."""

    async def connect(self):
        self.user = self.scope["user"]
        await self.accept()
        if not self.user.is_authenticated:
            await self.close(code=4401)
            return
        await self.channel_layer.group_add(group_of(self.user.pk), self.channel_name)
        await self.tell(str(await database_sync_to_async(self.first_unread)()))

    def first_unread(self):
        return Note.objects.filter(recipient=self.user, read=False).first()

    async def tell(self, text):
        count = await Note.objects.filter(recipient=self.user, read=False).acount()
        await self.send_json({"unread": count, "text": text})

    async def receive_json(self, content):
        texts = [note.text async for note in Note.objects.filter(recipient=self.user)]
        await self.send_json({"asked": content, "texts": texts})

    async def note_written(self, event):
        await self.tell(event["text"])

    async def disconnect(self, code):
        if self.user.is_authenticated:
            await self.channel_layer.group_discard(group_of(self.user.pk), self.channel_name)


class AccountConsumer(AsyncJsonWebsocketConsumer):
    """Logging in and out over the socket itself."""

    async def receive_json(self, content):
        if "login" in content:
            user = await database_sync_to_async(authenticate)(**content["login"])
            if user is not None:
                await login(self.scope, user)
                await database_sync_to_async(self.scope["session"].save)()
        elif "logout" in content:
            await logout(self.scope)
        await self.send_json({"user": self.scope["user"].get_username()})


class UnreadApi(AsyncHttpConsumer):
    """The number of unread notes as JSON, without a view."""

    async def handle(self, body):
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.send_response(
                401, b'{"error": "Log in first."}', headers=[(b"Content-Type", b"application/json")]
            )
            return
        unread = await Note.objects.filter(recipient=user, read=False).acount()
        answer = {"user": user.get_username(), "unread": unread, "body": body.decode()}
        await self.send_headers(headers=[(b"Content-Type", b"application/json")])
        await self.send_body(json.dumps(answer).encode(), more_body=True)
        await self.send_body(b"\n")
