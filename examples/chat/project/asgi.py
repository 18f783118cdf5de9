"""Where every connection enters: Django's views and our sockets, side by side."""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import path

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
views = get_asgi_application()  # loads the apps: only now can a consumer import models

from chat.consumers import ChatConsumer  # noqa: E402

routes = URLRouter([path("ws/room/<slug:slug>/<int:since>/", ChatConsumer.as_asgi())])
# Any site can open a socket to ours, and the browser sends our cookies with it, without
# a CSRF token. So look where it comes from first, and then whose it is.
sockets = AllowedHostsOriginValidator(AuthMiddlewareStack(routes))
# The outermost serves static files though DEBUG is off, so that nothing needs setting up.
# A real site leaves them to its web server, or to WhiteNoise.
application = ASGIStaticFilesHandler(ProtocolTypeRouter({"http": views, "websocket": sockets}))
