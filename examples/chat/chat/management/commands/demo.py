"""`manage.py demo`: from nothing to a running chat."""

import os
import sys

from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, call_command

from channels.__main__ import main

from ...models import Room


class Command(BaseCommand):
    help = "Prepare the database, two users and a room, and serve the chat."

    def add_arguments(self, parser):
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", default="8000")
        parser.add_argument("--workers", default="2")

    def handle(self, host, port, workers, **options):
        # Whoever asks for another address wants to be reached there.
        os.environ["CHAT_HOST"] = "*" if host in ("0.0.0.0", "::") else host
        call_command("migrate", verbosity=0)
        users = get_user_model().objects
        for name in ("ada", "grace"):
            if not users.filter(username=name).exists():
                users.create_user(name, password=name)  # good for a demo, and for nothing else
        Room.objects.get_or_create(slug="lounge")
        serve = ["serve", "project.asgi:application", "--log-level", "warning"]
        where = ["--bind", host, "--port", port, "--workers", workers]
        sys.exit(main([*serve, *where], on_listening=self.welcome))

    def welcome(self, addresses):
        bold = self.style.SUCCESS
        self.stdout.write(f"  Chat    {bold(f'{addresses[0]}/')}")
        self.stdout.write(f"  Log in  {bold('ada / ada')}  or  {bold('grace / grace')}")
        self.stdout.write("  Stop    Ctrl-C\n")
