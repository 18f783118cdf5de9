import os

from django.core.asgi import get_asgi_application
from django.urls import path

from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mill.settings")
django_application = get_asgi_application()

from jobs import consumers  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter([path("ws/jobs/", consumers.JobsConsumer.as_asgi())]),
        "channel": ChannelNameRouter(
            {
                "count-words": consumers.WordCounter.as_asgi(),
                "reverse-words": consumers.WordReverser.as_asgi(),
            }
        ),
    }
)
