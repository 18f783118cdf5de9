import os

from django.core.asgi import get_asgi_application
from django.urls import re_path

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchard.settings")
django_application = get_asgi_application()

from fruit.schema import schema  # noqa: E402
from strawberry.channels import (  # noqa: E402
    GraphQLHTTPConsumer,
    GraphQLProtocolTypeRouter,
    GraphQLWSConsumer,
    SyncGraphQLHTTPConsumer,
)


class Sync(SyncGraphQLHTTPConsumer):
    def get_context(self, request, response):
        response.headers["X-Sync"] = "yes"
        return super().get_context(request, response)


# The package's own router, and beside it what one writes to have users in the scope.
simple = GraphQLProtocolTypeRouter(schema, django_application=django_application)
application = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                re_path(
                    r"^users/graphql$",
                    AuthMiddlewareStack(GraphQLHTTPConsumer.as_asgi(schema=schema)),
                ),
                re_path(r"^sync/graphql$", Sync.as_asgi(schema=schema)),
                re_path(r"", simple),
            ]
        ),
        "websocket": URLRouter(
            [
                re_path(
                    r"^users/graphql$",
                    AuthMiddlewareStack(
                        GraphQLWSConsumer.as_asgi(
                            schema=schema, keep_alive=True, keep_alive_interval=5
                        )
                    ),
                ),
                re_path(r"", simple),
            ]
        ),
    }
)
