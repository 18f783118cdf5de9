import asyncio

from django.dispatch import Signal
from djangochannelsrestframework import mixins, permissions
from djangochannelsrestframework.consumers import AsyncAPIConsumer
from djangochannelsrestframework.decorators import action
from djangochannelsrestframework.generics import GenericAsyncAPIConsumer
from djangochannelsrestframework.observer import model_observer, observer
from djangochannelsrestframework.observer.generics import ObserverModelInstanceMixin
from rest_framework.permissions import IsAuthenticated

from .models import Book
from .serializers import BookSerializer

bell = Signal()


class BookConsumer(
    mixins.ListModelMixin,
    mixins.CreateModelMixin,
    mixins.PatchModelMixin,
    mixins.DeleteModelMixin,
    ObserverModelInstanceMixin,
    GenericAsyncAPIConsumer,
):
    """Everything that the generic mixins can do with one model."""

    queryset = Book.objects.all()
    serializer_class = BookSerializer
    permission_classes = (permissions.AllowAny,)


class ShelfConsumer(GenericAsyncAPIConsumer):
    """What happens on a shelf, and actions of every kind."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.go_on_counting = asyncio.Event()

    queryset = Book.objects.all()
    serializer_class = BookSerializer
    permission_classes = (permissions.AllowAny,)

    @model_observer(Book)
    async def book_moved(self, message, observer=None, subscribing_request_ids=(), **kwargs):
        await self.send_json(
            {"event": kwargs["action"], "to": list(subscribing_request_ids), **message}
        )

    @book_moved.serializer
    def book_moved(self, instance, action, **kwargs):
        return {"title": instance.title, "shelf": instance.shelf}

    @book_moved.groups_for_signal
    def book_moved(self, instance, **kwargs):
        yield f"shelf {instance.shelf}"

    @book_moved.groups_for_consumer
    def book_moved(self, shelf=None, **kwargs):
        yield f"shelf {shelf}"

    @action()
    async def watch(self, shelf, request_id, **kwargs):
        await self.book_moved.subscribe(shelf=shelf, request_id=request_id)
        return {"watching": shelf}, 201

    @action()
    async def look_away(self, shelf, **kwargs):
        await self.book_moved.unsubscribe(shelf=shelf)
        return {}, 204

    @observer(bell)
    async def bell_rung(self, message, observer=None, **kwargs):
        await self.send_json({"bell": message})

    @bell_rung.serializer
    def bell_rung(self, signal, loudness=0, **kwargs):
        return {"loudness": loudness}

    @action()
    async def listen(self, **kwargs):
        await self.bell_rung.subscribe()
        return {}, 200

    @action()
    def ring(self, loudness, **kwargs):
        bell.send(sender=None, loudness=loudness)
        return {"rung": loudness}, 200

    @action(atomic=True)
    def move_all(self, old, new, **kwargs):
        books = list(Book.objects.filter(shelf=old))
        for book in books:
            book.shelf = new
            book.save()
        return {"moved": len(books)}, 200

    @action(detached=True)
    async def count_slowly(self, **kwargs):
        # Until the consumer has handled another action meanwhile.
        await self.go_on_counting.wait()
        return {"books": await Book.objects.acount()}, 200

    @action()
    async def go_on(self, **kwargs):
        self.go_on_counting.set()
        return {"counting": "goes on"}, 200


class MembersConsumer(AsyncAPIConsumer):
    """Anybody may come in; what is done needs a member."""

    permission_classes = (permissions.IsAuthenticated,)

    @action()
    async def borrow(self, **kwargs):
        return {"borrowed": True}, 200


class StaffConsumer(MembersConsumer):
    """The framework's own permission, which is asked at the door too."""

    permission_classes = (IsAuthenticated,)
