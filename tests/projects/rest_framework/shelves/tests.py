from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.test import TransactionTestCase

from channels.testing import WebsocketCommunicator

from .consumers import BookConsumer, MembersConsumer, ShelfConsumer
from .models import Book


class BookTests(TransactionTestCase):
    async def test_a_list_of_books(self):
        await Book.objects.acreate(pk=7, title="Dune", shelf="A")
        socket = WebsocketCommunicator(BookConsumer.as_asgi(), "/ws/books/")
        connected, _ = await socket.connect()
        self.assertTrue(connected)
        await socket.send_json_to({"action": "list", "request_id": 1})
        self.assertEqual(
            await socket.receive_json_from(),
            {
                "action": "list",
                "errors": [],
                "response_status": 200,
                "request_id": 1,
                "data": [{"id": 7, "title": "Dune", "shelf": "A"}],
            },
        )
        await socket.disconnect()

    async def test_an_instance_is_an_application_too(self):
        socket = WebsocketCommunicator(BookConsumer(), "/ws/books/")
        await socket.connect()
        await socket.send_json_to({"action": "retrieve", "pk": 1, "request_id": 2})
        response = await socket.receive_json_from()
        self.assertEqual([response["response_status"], response["errors"]], [404, ["Not found"]])
        await socket.disconnect()

    async def test_watching_a_shelf(self):
        book = await Book.objects.acreate(title="Emma", shelf="A")
        socket = WebsocketCommunicator(ShelfConsumer.as_asgi(), "/ws/shelves/")
        await socket.connect()
        await socket.send_json_to({"action": "watch", "shelf": "A", "request_id": 3})
        self.assertEqual((await socket.receive_json_from())["response_status"], 201)
        book.title = "Persuasion"
        await book.asave()
        self.assertEqual(
            await socket.receive_json_from(),
            {"event": "update", "to": [3], "title": "Persuasion", "shelf": "A"},
        )
        await sync_to_async(book.delete)()
        self.assertEqual((await socket.receive_json_from())["event"], "delete")
        await socket.disconnect()

    async def test_members_only(self):
        socket = WebsocketCommunicator(MembersConsumer.as_asgi(), "/ws/members/")
        socket.scope["user"] = await get_user_model().objects.acreate(username="ada")
        await socket.connect()
        await socket.send_json_to({"action": "borrow", "request_id": 4})
        self.assertEqual((await socket.receive_json_from())["data"], {"borrowed": True})
        await socket.disconnect()
