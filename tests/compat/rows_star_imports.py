"""What `from channels.exceptions import *` puts over the names of its caller."""

from __future__ import annotations

from typing import Any

from tests.compat.behaviours import Rows, set_up_django

set_up_django()

row = Rows()


def star_import(module: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(f"from {module} import *", names)
    return names


@row(upstream=["AcceptConnection", "ChannelFull", "DenyConnection", "StopConsumer"])
def a_star_import_of_the_exceptions_has_what_projects_use() -> Any:
    used = {"AcceptConnection", "ChannelFull", "DenyConnection", "StopConsumer"}
    return sorted(used & star_import("channels.exceptions").keys())


@row(upstream=False)
def a_star_import_of_the_exceptions_leaves_djangos_signal_alone() -> Any:
    return "Signal" in star_import("channels.exceptions")
