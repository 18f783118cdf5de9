import json

from asgiref.sync import sync_to_async
from bulletin.asgi import application
from django.contrib.auth import get_user_model
from django.test import TestCase, TransactionTestCase
from django.urls import path

from channels.layers import get_channel_layer
from channels.routing import URLRouter
from channels.testing import HttpCommunicator, WebsocketCommunicator

from .consumers import NoteConsumer, UnreadApi, UnreadConsumer
from .models import Note
from .signals import group_of


class Visits:
    """A user who has logged in, and sockets that carry the cookie."""

    def log_in(self, name="ada"):
        self.user = get_user_model().objects.create_user(name, password="secret")
        self.client.force_login(self.user)

    def socket(self, url):
        cookie = f"sessionid={self.client.cookies['sessionid'].value}".encode()
        return WebsocketCommunicator(application, url, headers=[(b"cookie", cookie)])


class NotesOverSockets(Visits, TransactionTestCase):
    async def test_a_note_that_is_written_arrives(self):
        await sync_to_async(self.log_in)()
        socket = self.socket("/ws/notes/")
        connected, subprotocol = await socket.connect()
        self.assertTrue(connected)
        self.assertIsNone(subprotocol)
        self.assertEqual(await socket.receive_json_from(), {"unread": []})
        note = await Note.objects.acreate(recipient=self.user, text="Tea at five")
        self.assertEqual(await socket.receive_json_from(), {"id": note.pk, "text": "Tea at five"})
        await socket.send_json_to({"read": note.pk})
        self.assertEqual(await socket.receive_json_from(), {"read": 1, "left": 0})
        self.assertTrue(await socket.receive_nothing())
        await socket.disconnect()
        await note.arefresh_from_db()
        self.assertTrue(note.read)

    async def test_two_sockets_of_one_user(self):
        await sync_to_async(self.log_in)()
        notes, unread = self.socket("/ws/notes/"), self.socket("/ws/unread/")
        await notes.connect()
        await unread.connect()
        await notes.receive_json_from()
        self.assertEqual(await unread.receive_json_from(), {"unread": 0, "text": "None"})
        await notes.send_json_to({"write_to_myself": "Water the plants"})
        answers = [await notes.receive_json_from(), await notes.receive_json_from()]
        self.assertIn({"written": "Water the plants"}, answers)
        self.assertEqual(
            await unread.receive_json_from(), {"unread": 1, "text": "Water the plants"}
        )
        await notes.disconnect()
        await unread.disconnect()

    async def test_what_is_not_understood_ends_the_socket(self):
        await sync_to_async(self.log_in)()
        socket = self.socket("/ws/notes/")
        await socket.connect()
        await socket.receive_json_from()
        await socket.send_json_to({"unheard": "of"})
        self.assertEqual(await socket.receive_output(), {"type": "websocket.close", "code": 4400})
        await socket.disconnect()

    async def test_visitors_may_not(self):
        socket = WebsocketCommunicator(application, "/ws/notes/")
        self.assertEqual(await socket.connect(), (False, 4401))
        socket = WebsocketCommunicator(application, "/ws/unread/")
        self.assertEqual(await socket.connect(), (True, None))
        self.assertEqual(await socket.receive_output(), {"type": "websocket.close", "code": 4401})

    async def test_an_event_from_the_layer(self):
        await sync_to_async(self.log_in)()
        routed = URLRouter([path("just/<int:number>/", UnreadConsumer.as_asgi())])
        socket = WebsocketCommunicator(routed, "/just/7/")
        socket.scope["user"] = self.user
        await socket.connect()
        await socket.receive_json_from()
        event = {"type": "note.written", "id": 1, "text": "from elsewhere"}
        await get_channel_layer().group_send(group_of(self.user.pk), event)
        self.assertEqual(await socket.receive_json_from(), {"unread": 0, "text": "from elsewhere"})
        await socket.disconnect()


class NotesInATransaction(Visits, TestCase):
    """The consumers see what the test has written and never commits."""

    def setUp(self):
        self.log_in()
        Note.objects.create(recipient=self.user, text="first")
        Note.objects.create(recipient=self.user, text="second", read=True)

    async def test_the_sync_consumer_reads_them(self):
        socket = WebsocketCommunicator(NoteConsumer.as_asgi(), "/ws/notes/")
        socket.scope["user"] = self.user
        await socket.connect()
        self.assertEqual(await socket.receive_json_from(), {"unread": ["first"]})
        await socket.disconnect()

    async def test_the_async_consumer_reads_them(self):
        socket = self.socket("/ws/unread/")
        await socket.connect()
        self.assertEqual(await socket.receive_json_from(), {"unread": 1, "text": "first"})
        await socket.send_json_to("what?")
        self.assertEqual(
            await socket.receive_json_from(), {"asked": "what?", "texts": ["first", "second"]}
        )
        await socket.disconnect()

    async def test_the_number_over_http(self):
        request = HttpCommunicator(UnreadApi.as_asgi(), "POST", "/api/unread/", body=b"please")
        request.scope["user"] = self.user
        response = await request.get_response()
        self.assertEqual(response["status"], 200)
        self.assertEqual(response["headers"], [(b"Content-Type", b"application/json")])
        answer = {"user": "ada", "unread": 1, "body": "please"}
        self.assertEqual(json.loads(response["body"]), answer)

    async def test_the_number_through_the_whole_application(self):
        cookie = f"sessionid={self.client.cookies['sessionid'].value}".encode()
        headers = [(b"cookie", cookie), (b"host", b"testserver")]
        request = HttpCommunicator(application, "GET", "/api/unread/", headers=headers)
        self.assertEqual(json.loads((await request.get_response())["body"])["unread"], 1)

    def test_views_write_them(self):
        response = self.client.post(
            "/notes/ada/", {"text": "third"}, content_type="application/json"
        )
        self.assertEqual(response.status_code, 201)
        self.assertEqual(Note.objects.filter(recipient=self.user).count(), 3)
