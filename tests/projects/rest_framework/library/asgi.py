import os

from django.core.asgi import get_asgi_application
from django.urls import path, re_path

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "library.settings")
django_application = get_asgi_application()

from djangochannelsrestframework.consumers import view_as_consumer  # noqa: E402
from shelves import consumers, views  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AuthMiddlewareStack(
            URLRouter(
                [
                    path("ws/books/", consumers.BookConsumer.as_asgi()),
                    path("ws/shelves/", consumers.ShelfConsumer.as_asgi()),
                    path("ws/members/", consumers.MembersConsumer.as_asgi()),
                    path("ws/staff/", consumers.StaffConsumer.as_asgi()),
                    re_path(r"^ws/view/$", view_as_consumer(views.BookView.as_view())),
                ]
            )
        ),
    }
)
