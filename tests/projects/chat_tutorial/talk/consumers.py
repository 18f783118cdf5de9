import json

from asgiref.sync import async_to_sync

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer


class TalkConsumer(WebsocketConsumer):
    def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        self.group = f"talk_{self.room}"
        async_to_sync(self.channel_layer.group_add)(self.group, self.channel_name)
        self.accept()

    def disconnect(self, close_code):
        async_to_sync(self.channel_layer.group_discard)(self.group, self.channel_name)

    def receive(self, text_data):
        words = json.loads(text_data)["message"]
        event = {"type": "talk.said", "message": words}
        async_to_sync(self.channel_layer.group_send)(self.group, event)

    def talk_said(self, event):
        self.send(text_data=json.dumps({"message": event["message"]}))


class AsyncTalkConsumer(AsyncWebsocketConsumer):
    async def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        self.group = f"async_talk_{self.room}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, close_code):
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data):
        words = json.loads(text_data)["message"]
        event = {"type": "talk.said", "message": words}
        await self.channel_layer.group_send(self.group, event)

    async def talk_said(self, event):
        await self.send(text_data=json.dumps({"message": event["message"]}))
