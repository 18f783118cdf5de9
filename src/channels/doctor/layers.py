"""Checks of CHANNEL_LAYERS: what it joins, whether it works, what is known of its engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..layers import how_to_set_a_layer
from ..management.masking import masked
from .application import consumers_of
from .findings import Finding, Findings, Level
from .project import Layer, Project
from .sources import place_of

SETTING = "CHANNEL_LAYERS"
LOCAL = "channels.layers.local.LocalChannelLayer"
IN_MEMORY: Final = ("channels.layers.InMemoryChannelLayer", "channels.layers.memory.")
# What channels_redis waits for a message in one go; reading must not give up before.
BRPOP_SECONDS: Final = 5.0
# What the pub/sub layer makes use of; it takes all else in silence.
PUBSUB_OPTIONS: Final = frozenset({"hosts", "prefix", "symmetric_encryption_keys"}) | {
    "serializer_format",
    "channel_layer",
}


def check_layers(project: Project) -> Findings:
    """Each layer works; consumers that need one have it."""
    if project.apps_error:
        return
    yield from _needed(project)
    for layer in project.layers:
        yield from _layer(project, layer)


def _needed(project: Project) -> Findings:
    configured = {layer.alias for layer in project.layers}
    missing = False
    for consumer in consumers_of(project):
        if not getattr(consumer, "groups", None):
            continue
        alias = getattr(consumer, "channel_layer_alias", "default")
        if isinstance(consumer.groups, (list, tuple, set)) and alias not in configured:
            missing = True
            text = f"{consumer.__qualname__} joins groups, and there is no layer {alias!r}."
            yield Finding(Level.ERROR, SETTING, text, *_advice(alias))
    if not configured and not missing:
        text = "It is not set, so there are no groups, and nothing can be sent to a consumer."
        yield Finding(Level.HINT, SETTING, text, *_advice("default"))


def _advice(alias: str) -> tuple[str, str]:
    return "For the processes of one machine, set:", how_to_set_a_layer(alias).partition(", set ")[
        2
    ]


def _layer(project: Project, layer: Layer) -> Findings:
    subject = SETTING if layer.alias == "default" else f"{SETTING} {layer.alias!r}"
    if layer.error:
        yield _broken(project, layer, subject)
    found = []
    if layer.backend.startswith(IN_MEMORY):
        found = [_in_memory(project, subject)]
    elif layer.backend.startswith("channels_redis.pubsub."):
        found = list(_pubsub(project, layer, subject))
    elif layer.backend.startswith("channels_redis."):
        found = list(_redis(project, layer, subject))
    yield from found
    if not found and not layer.error:
        yield Finding(Level.OK, subject, f"{layer.backend}: {_state(layer)}")


def _state(layer: Layer) -> str:
    if layer.asleep:
        return "no process serves at the moment, so there is nobody to talk to."
    return "it carries messages."


def _broken(project: Project, layer: Layer, subject: str) -> Finding:
    if "ROUTING key found" in layer.error:
        place = place_of(project.settings_module, SETTING, "ROUTING")
        code = place.text if place else '"ROUTING": ...'
        text = "ROUTING is of Channels 1; routes stand in the application now."
        return Finding(Level.ERROR, subject, text, "Take out this line:", code, place)
    return Finding(
        Level.ERROR,
        subject,
        f"{layer.backend or 'The layer'} does not work: {layer.error}",
        "Correct its configuration, or start what it connects to.",
        place=place_of(project.settings_module, SETTING),
    )


def _in_memory(project: Project, subject: str) -> Finding:
    return Finding(
        Level.HINT,
        subject,
        "The in-memory layer stays within one process: with workers, runworker or manage.py shell "
        "messages reach only those who are in the sender's process.",
        "For the processes of one machine, write:",
        f'"BACKEND": "{LOCAL}",',
        place_of(project.settings_module, SETTING, IN_MEMORY[0]),
    )


def _pubsub(project: Project, layer: Layer, subject: str) -> Findings:
    ignored = sorted(set(layer.config) - PUBSUB_OPTIONS)
    if ignored:
        names = ", ".join(map(repr, ignored))
        yield Finding(
            Level.WARNING,
            subject,
            f"The pub/sub layer of channels_redis has no use for {names}: they have no effect.",
            "Take them out of CONFIG.",
            place=place_of(project.settings_module, SETTING, ignored[0]),
        )


def _redis(project: Project, layer: Layer, subject: str) -> Findings:
    timeout = project.redis_timeout
    hosts = layer.config.get("hosts") or ["redis://localhost:6379"]
    if timeout is None or timeout > BRPOP_SECONDS or isinstance(hosts, str):
        return
    if all(map(_says_timeout, hosts)):
        return
    version = project.versions.get("redis", "")
    written = ", ".join(_written(masked(_host(host))) for host in hosts)
    yield Finding(
        Level.WARNING,
        subject,
        f"redis-py {version} gives up reading after {timeout:g} s, and channels_redis waits for a "
        f"message for {BRPOP_SECONDS:g} s: every idle socket gets a TimeoutError.",
        "Write in CONFIG:",
        f'"hosts": [{written}],',
        place_of(project.settings_module, SETTING, "hosts"),
    )


def _says_timeout(host: Any) -> bool:
    if isinstance(host, Mapping):
        return "socket_timeout" in host or "socket_timeout=" in str(host.get("address", ""))
    return isinstance(host, str) and "socket_timeout=" in host


def _host(host: Any) -> dict[str, Any]:
    """One entry of `hosts`, in the form that takes options."""
    if isinstance(host, Mapping):
        return {**host, "socket_timeout": None}
    if isinstance(host, (tuple, list)):
        return {"host": host[0], "port": host[1], "socket_timeout": None}
    return {"address": str(host), "socket_timeout": None}


def _written(host: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f'"{name}": {_value(value)}' for name, value in host.items()) + "}"


def _value(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
