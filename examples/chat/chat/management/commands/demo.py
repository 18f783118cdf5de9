"""`manage.py demo`: from nothing to a running chat."""

import sys

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, call_command

from channels.routing import get_default_application
from channels.server import Server, ServerConfig

from ...models import Room


class Command(BaseCommand):
    help = "Prepare the database, two users and a room, and serve the chat."

    def add_arguments(self, parser):
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, host, port, **options):
        call_command("migrate", verbosity=0)
        for name in ("ada", "grace"):
            user, created = get_user_model().objects.get_or_create(username=name)
            if created:
                user.set_password(name)  # good enough for a demo, and for nothing else
                user.save()
        Room.objects.get_or_create(slug="lounge")
        # Whoever asks for another address wants to be reached there.
        settings.ALLOWED_HOSTS.append("*" if host in ("0.0.0.0", "::") else host)
        value = self.style.SUCCESS
        self.stdout.write(f"  Chat    {value(f'http://{host}:{port}/')}")
        self.stdout.write(f"  Log in  {value('ada')} / ada  or  {value('grace')} / grace")
        self.stdout.write("  Stop    Ctrl-C\n")
        sys.exit(Server(get_default_application(), ServerConfig(host=host, port=port)).run())
