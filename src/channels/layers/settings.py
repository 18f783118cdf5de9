"""From the setting CHANNEL_LAYERS to channel layers, one per alias and process.

    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels.layers.InMemoryChannelLayer",
            "CONFIG": {"capacity": 500},
        },
    }

A layer is made when it is first asked for. The only part of `layers` that knows
Django.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.core.signals import setting_changed
from django.db import transaction
from django.utils.module_loading import import_string

from .. import DEFAULT_CHANNEL_LAYER
from ..exceptions import InvalidChannelLayerError
from .base import BaseChannelLayer, method_of
from .codec import decode, encode_message
from .mailroom import require_message
from .sync import SyncLayer
from .waiter import running_loop

logger = logging.getLogger("channels.layers")

# A layer that does not close in this time is left as it is.
CLOSE_SECONDS: Final = 5.0


class ChannelLayerManager:
    """The layers of this process, by alias.

    `backends` holds those that were made; emptying or replacing it makes them
    anew.
    """

    def __init__(self) -> None:
        self.backends: dict[str, Any] = {}
        # Re-entrant: a layer's constructor may ask for another layer.
        self._lock = threading.RLock()
        self._closing: set[asyncio.Task[None]] = set()
        setting_changed.connect(self._reset_backends)

    @property
    def configs(self) -> Mapping[str, Any]:
        """The setting CHANNEL_LAYERS; empty if there is none."""
        return getattr(settings, "CHANNEL_LAYERS", None) or {}

    def make_backend(self, name: str) -> Any:
        """Make a layer from the CONFIG of an alias, without keeping it."""
        return self._make_backend(name, self._config(name).get("CONFIG") or {})

    def make_test_backend(self, name: str) -> Any:
        """Make a layer from the TEST_CONFIG of an alias, without keeping it."""
        config = self._config(name)
        if "TEST_CONFIG" not in config:
            raise InvalidChannelLayerError(f"No TEST_CONFIG specified for {name}")
        return self._make_backend(name, config["TEST_CONFIG"] or {})

    def _config(self, name: str) -> Mapping[str, Any]:
        config = self.configs[name]
        if not isinstance(config, Mapping):
            raise InvalidChannelLayerError(
                f"CHANNEL_LAYERS[{name!r}] must be a dict with a BACKEND, not {config!r:.60}"
            )
        return config

    def _make_backend(self, name: str, config: Mapping[str, Any]) -> Any:
        backend_class = self.backend_class(name)
        try:
            return backend_class(**config)
        except Exception as error:
            error.add_note(
                f"Raised while {backend_class.__name__} was made from CHANNEL_LAYERS[{name!r}]."
            )
            raise

    def backend_class(self, name: str) -> Callable[..., Any]:
        """Import what an alias names as its BACKEND."""
        config = self._config(name)
        if "ROUTING" in config:
            raise InvalidChannelLayerError(
                f"ROUTING key found for {name} - this is no longer needed in Channels 2."
            )
        if "BACKEND" not in config:
            raise InvalidChannelLayerError(f"No BACKEND specified for {name}")
        path = config["BACKEND"]
        try:
            return import_string(path)  # type: ignore[no-any-return]
        except ImportError as error:
            raise InvalidChannelLayerError(
                f"Cannot import BACKEND {path!r} specified for {name}: {error}"
            ) from error

    def __getitem__(self, key: str) -> Any:
        layer = self.backends.get(key)
        if layer is None:
            with self._lock:
                layer = self.backends.get(key)
                if layer is None:
                    layer = self.backends[key] = self.make_backend(key)
        return layer

    def __contains__(self, key: str) -> bool:
        return key in self.backends or key in self.configs

    def set(self, key: str, layer: Any) -> Any:
        """Put `layer` under an alias; return the one that was there, or None.

        None as `layer` makes the configured one anew when it is next asked for.
        """
        old = self.backends.pop(key, None)
        if layer is not None:
            self.backends[key] = layer
        return old

    # -- a changed setting -------------------------------------------------

    def _reset_backends(self, setting: str, **kwargs: Any) -> None:
        if setting == "CHANNEL_LAYERS":
            old, self.backends = self.backends, {}
            for layer in old.values():
                self._close(layer)

    def _close(self, layer: Any) -> None:
        if _closer(layer) is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            async_to_sync(_close_layer)(layer)
        else:
            task = loop.create_task(_close_layer(layer))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _closer(layer: Any) -> Callable[[], Any] | None:
    """The method that closes a layer, by the names that layers give it."""
    for name in ("close", "close_pools"):
        method = method_of(layer, name)
        if callable(method):
            return method  # type: ignore[no-any-return]
    return None


async def _close_layer(layer: Any) -> None:
    close = _closer(layer)
    assert close is not None
    try:
        closing = close()
        if inspect.isawaitable(closing):
            async with asyncio.timeout(CLOSE_SECONDS):
                await closing
    except Exception:
        # Another loop may own its connections. It is replaced all the same.
        logger.warning("Closing the replaced channel layer %r failed", layer, exc_info=True)


channel_layers = ChannelLayerManager()


def group_send_on_commit(
    group: str,
    message: dict[str, Any],
    using: str | None = None,
    alias: str = DEFAULT_CHANNEL_LAYER,
) -> None:
    """Send `message` to `group` when the transaction of the database `using` commits.

    Dropped at a rollback; sent at once where there is no transaction. A wrong name or
    message and a missing layer raise here. What the layer raises at the commit is
    logged: what was committed stays so, and the request goes on.
    """
    _require_no_loop()
    layer = _require_layer(alias)
    _group_check_of(layer)(group)
    require_message(message)
    # A copy, and of the kinds that reach another process: what layers cannot carry
    # raises where the caller can see why, and lazy strings are in the caller's language.
    copy = decode(encode_message(message))
    sync = _blocking(layer)

    def send() -> None:
        try:
            sync.group_send(group, copy)
        except Exception:
            logger.exception(
                "Group %r misses a message of type %r: it could not be sent after the commit",
                group,
                copy.get("type"),
            )

    transaction.on_commit(send, using=using)


def _require_no_loop() -> None:
    if running_loop() is not None:
        raise SynchronousOnlyOperation(
            "group_send_on_commit() belongs to a transaction, which async code has not. Call it in "
            "the function that you give to database_sync_to_async(), or, without a transaction, "
            "write `await layer.group_send(...)`."
        )


def _group_check_of(layer: Any) -> Callable[[str], Any]:
    # A layer of another package need not inherit ours; the rules are the same.
    inherited = method_of(layer, "require_valid_group_name")
    return inherited or BaseChannelLayer().require_valid_group_name


def _blocking(layer: Any) -> Any:
    sync = method_of(layer, "sync")
    return sync if hasattr(sync, "group_send") else SyncLayer(layer)


def _require_layer(alias: str) -> Any:
    layer = channel_layers[alias] if alias in channel_layers else None
    if layer is None:
        raise InvalidChannelLayerError(
            f"There is no channel layer {alias!r}. {how_to_set_a_layer(alias)}"
        )
    return layer


def how_to_set_a_layer(alias: str = DEFAULT_CHANNEL_LAYER) -> str:
    """Return the sentence that ends every error for a missing layer."""
    return (
        f'For the processes of one machine, set CHANNEL_LAYERS = {{"{alias}": '
        '{"BACKEND": "channels.layers.local.LocalChannelLayer"}}'
    )
