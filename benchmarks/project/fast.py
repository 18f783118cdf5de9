"""The W1 consumer on the fast lane: rendered once per process. Only this package has it."""

from __future__ import annotations

import json
from typing import Any

from channels.broadcast import broadcast

from .consumers import Member


class FastMember(Member):
    @broadcast
    def chat_message(cls, event: dict[str, Any]) -> str:
        return json.dumps({"message": event["message"]})
