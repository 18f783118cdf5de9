"""A Django test case with the project's whole ASGI application behind a real port.

For browsers, and for clients of WebSockets that are not ours. The server runs in a
thread beside the test, on the test's databases and channel layers. What is public
here has the names of Channels 4, where daphne served it in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.db.backends.base.creation import TEST_DATABASE_PREFIX
from django.test.testcases import TransactionTestCase
from django.test.utils import modify_settings
from django.utils.functional import classproperty

from channels.layers import hosted_layers
from channels.routing import get_default_application
from channels.types import ASGIApplication

from .databases import databases_for_all_threads
from .server_thread import ServerThread


def make_application(*, static_wrapper: Callable[[Any], Any] | None) -> ASGIApplication:
    """Return what is served: ASGI_APPLICATION, in `static_wrapper` unless that is None."""
    application: Any = get_default_application()
    return application if static_wrapper is None else static_wrapper(application)  # type: ignore[no-any-return]


def set_database_connection() -> None:
    """Point this process at the test database, unless it is already.

    `ChannelsLiveServerTestCase` has no use for it: its server runs in the test's own
    process. It is for projects that start a server in a process of its own, where a
    spawned one would use the development database.
    """
    database = settings.DATABASES["default"]
    name = str(database["NAME"])
    test_name = database.get("TEST", {}).get("NAME")
    if not name.startswith(str(test_name or TEST_DATABASE_PREFIX)):
        database["NAME"] = test_name or TEST_DATABASE_PREFIX + name


class ChannelsLiveServerTestCase(TransactionTestCase):
    """A TransactionTestCase with a server at `live_server_url` and `live_server_ws_url`.

    It starts before the first test of the class and stops after the last.
    """

    host = "localhost"
    # Named by subclasses that were written for daphne; not used here.
    ProtocolServerProcess: Any = None
    static_wrapper: Any = ASGIStaticFilesHandler
    serve_static = True
    # 0 while there is no server.
    _port = 0

    @classproperty
    def live_server_url(cls) -> str:
        return f"http://{cls.host}:{cls._port}"

    @classproperty
    def live_server_ws_url(cls) -> str:
        return f"ws://{cls.host}:{cls._port}"

    @classmethod
    def setUpClass(cls) -> None:
        # Cleanups and not tearDownClass: they follow it, so that a browser which it
        # closes has left before the server stops; and they follow a failure here.
        # The databases come first, since Django loads fixtures into them now.
        cls.enterClassContext(databases_for_all_threads())
        super().setUpClass()
        cls.enterClassContext(modify_settings(ALLOWED_HOSTS={"append": cls.host}))
        cls.enterClassContext(hosted_layers())
        server = ServerThread(make_application(static_wrapper=cls._wrapper()), cls.host)
        cls._port = server.start()
        cls.addClassCleanup(cls._stop, server)

    @classmethod
    def _stop(cls, server: ServerThread) -> None:
        server.stop()
        cls._port = 0

    @classmethod
    def _wrapper(cls) -> Callable[[Any], Any] | None:
        # Without a STATIC_URL Django's refuses to be made, and has nothing to serve.
        useless = cls.static_wrapper is ASGIStaticFilesHandler and not settings.STATIC_URL
        return None if useless or not cls.serve_static else cls.static_wrapper
