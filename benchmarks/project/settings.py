"""The smallest settings of a real project: one layer, and a database that is never asked.

The layer is in memory unless the run says otherwise (BENCHMARK_CHANNEL_LAYERS, in JSON).

The database is configured because looking after its connections is part of what
every dispatch costs in a project that has one.
"""

from __future__ import annotations

import json
import os

SECRET_KEY = "benchmarks only; it protects nothing"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels"]
ROOT_URLCONF = "benchmarks.project.urls"
ASGI_APPLICATION = "benchmarks.project.asgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
CHANNEL_LAYERS = json.loads(
    os.environ.get("BENCHMARK_CHANNEL_LAYERS")
    or '{"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}'
)
USE_TZ = True
