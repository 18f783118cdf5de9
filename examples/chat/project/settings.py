"""Ordinary Django settings; what Channels adds is at the end."""

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

DATA = Path(os.environ.get("CHAT_DATA", Path(__file__).resolve().parent.parent / "data"))
DATA.mkdir(mode=0o700, parents=True, exist_ok=True)

# Made once per installation: a key that is committed is known to everybody.
key_file = DATA / "secret_key"
if not key_file.exists():
    key_file.write_text(get_random_secret_key())
SECRET_KEY = key_file.read_text()

DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", os.environ.get("CHAT_HOST", "localhost")]
ROOT_URLCONF = "project.urls"
LOGIN_URL, LOGIN_REDIRECT_URL = "login", "lobby"
STATIC_URL = "static/"
TIME_ZONE = "UTC"
INSTALLED_APPS = [
    "channels",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "chat",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

# Readers do not wait for a writer, and writers queue instead of failing.
OPTIONS = {"init_command": "PRAGMA journal_mode=WAL", "transaction_mode": "IMMEDIATE"}
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA / "chat.sqlite3"}
DATABASES = {"default": {**SQLITE, "OPTIONS": OPTIONS}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# With DEBUG off Django would mail errors; Python itself prints them on the console.
LOGGING_CONFIG = None

ASGI_APPLICATION = "project.asgi.application"
# Shared by all processes of this machine; no other server is needed.
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.local.LocalChannelLayer"}}
