"""The local layer for code that blocks: what is sent goes straight to the bus, in its thread."""

from __future__ import annotations

import time
from typing import Any

from ..sync import SyncLayer
from .layer import LocalChannelLayer
from .node import WAIT_SECONDS


class LocalSync(SyncLayer):
    """As `SyncLayer`, without an event loop in between where one sends."""

    layer: LocalChannelLayer

    def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send `message` to one channel; ChannelFull if its capacity is reached."""
        self.require_no_loop("send")
        layer = self.layer
        sending = layer._prepare_send(channel, message)
        if sending is None:
            return
        self._wait_ready()
        answer = sending()
        if answer is None:
            return
        try:
            outcome = answer.result(WAIT_SECONDS)
        except TimeoutError:
            raise layer._afar.unanswered(channel) from None
        layer._afar.judge(channel, outcome)

    def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send `message` to every member of `group`, in every process."""
        self.require_no_loop("group_send")
        layer = self.layer
        payload = layer._prepare_group_send(group, message)
        self._wait_ready()
        layer.node.publish(group, payload, layer.clock() + layer.expiry)

    def _wait_ready(self) -> None:
        node = self.layer.node
        deadline = time.monotonic() + node.patience
        try:
            while (ready := node.ready()) is not None:
                ready.result(max(deadline - time.monotonic(), 0.0))
        except TimeoutError:
            assert ready is not None
            ready.cancel()
            raise node.unavailable() from None
