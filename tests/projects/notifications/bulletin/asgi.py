import os

from django.core.asgi import get_asgi_application
from django.urls import path, re_path

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bulletin.settings")
django_application = get_asgi_application()

from notes import consumers  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                path("api/unread/", AuthMiddlewareStack(consumers.UnreadApi.as_asgi())),
                re_path(r"", django_application),
            ]
        ),
        "websocket": AuthMiddlewareStack(
            URLRouter(
                [
                    path("ws/notes/", consumers.NoteConsumer.as_asgi()),
                    path("ws/unread/", consumers.UnreadConsumer.as_asgi()),
                    path("ws/account/", consumers.AccountConsumer.as_asgi()),
                ]
            )
        ),
    }
)
