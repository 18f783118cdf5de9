"""Channels as a Django app: management commands, system checks, announcements of log-outs."""

from __future__ import annotations

from django.apps import AppConfig


class ChannelsConfig(AppConfig):
    name = "channels"
    verbose_name = "Channels"

    def ready(self) -> None:
        from .checks import register
        from .security.announcements import announce_ends

        register()
        announce_ends()
