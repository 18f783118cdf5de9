"""Real time for Django.

Nothing heavy is imported here: `channels serve` runs any ASGI application, and
does so without Django.
"""

__version__ = "4.9.0"

DEFAULT_CHANNEL_LAYER = "default"
