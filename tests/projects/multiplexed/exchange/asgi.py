import os

from django.core.asgi import get_asgi_application
from django.urls import path

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
django_application = get_asgi_application()

from channelsmultiplexer import AsyncJsonWebsocketDemultiplexer  # noqa: E402
from streams import consumers  # noqa: E402


class Closing(AsyncJsonWebsocketDemultiplexer):
    applications = {"one": consumers.Echo.as_asgi(), "refused": consumers.Refusing.as_asgi()}


class Offices(AsyncJsonWebsocketDemultiplexer):
    applications = {
        "names": consumers.Names.as_asgi(),
        "clerk": consumers.Clerk.as_asgi(),
        "echo": consumers.Echo.as_asgi(),
    }


class Instance(AsyncJsonWebsocketDemultiplexer):
    applications = {}


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AuthMiddlewareStack(
            URLRouter(
                [
                    path("ws/", consumers.Exchange.as_asgi()),
                    path("ws/closing/", Closing.as_asgi()),
                    path("ws/offices/", Offices.as_asgi()),
                    # Its streams as arguments, and the instance itself as the application.
                    path("ws/instance/", Instance(echo=consumers.Echo.as_asgi())),
                ]
            )
        ),
    }
)
