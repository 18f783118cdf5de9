"""`manage.py demo`: from nothing to a running chat."""

import sys

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, call_command

from channels.routing import get_default_application
from channels.server import ConfigurationError, Server, ServerConfig

from ...models import Room


class Command(BaseCommand):
    help = "Prepare the database, two users and a room, and serve the chat."

    def add_arguments(self, parser):
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, host, port, **options):
        try:
            config = ServerConfig(host=host, port=port)
        except ConfigurationError as error:
            raise CommandError(error) from error
        # Whoever asks for another address wants to be reached there.
        settings.ALLOWED_HOSTS.append("*" if host in ("0.0.0.0", "::") else host)
        call_command("migrate", verbosity=0)
        users = get_user_model().objects
        for name in ("ada", "grace"):
            if not users.filter(username=name).exists():
                users.create_user(name, password=name)  # good for a demo, and for nothing else
        Room.objects.get_or_create(slug="lounge")
        chat, bold = get_default_application(), self.style.SUCCESS

        async def application(scope, receive, send):
            if scope["type"] == "lifespan":  # once, when the port is ours
                self.stdout.write(f"  Chat    {bold(f'http://{host}:{port}/')}")
                self.stdout.write(f"  Log in  {bold('ada / ada')}  or  {bold('grace / grace')}")
                self.stdout.write("  Stop    Ctrl-C\n")
            await chat(scope, receive, send)

        sys.exit(Server(application, config).run())
