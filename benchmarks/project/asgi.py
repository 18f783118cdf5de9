"""The application under test; the same file for this package and for upstream Channels."""

from __future__ import annotations

import os
from importlib.util import find_spec

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.project.settings")
# Before the consumers: importing them may need loaded apps.
views = get_asgi_application()

from django.urls import path  # noqa: E402

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from . import consumers  # noqa: E402

routes = [
    path("member/", consumers.Member.as_asgi()),
    path("trigger/<int:count>/<int:size>/", consumers.Trigger.as_asgi()),
    path("echo/async/", consumers.AsyncEcho.as_asgi()),
    path("echo/sync/", consumers.SyncEcho.as_asgi()),
]

if find_spec("channels.broadcast") is not None:
    from .fast import FastMember

    routes.append(path("fast/", FastMember.as_asgi()))

application = ProtocolTypeRouter({"http": views, "websocket": URLRouter(routes)})
