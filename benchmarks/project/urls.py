"""No pages: what is measured here is sockets."""

from __future__ import annotations

urlpatterns: list[object] = []
