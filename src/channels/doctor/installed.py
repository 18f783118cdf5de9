"""Checks of INSTALLED_APPS and ALLOWED_HOSTS: who serves `runserver`, and for whom."""

from __future__ import annotations

from django.core.checks import WARNING

from .findings import Finding, Findings, Level
from .project import Project
from .sources import place_of

APPS = "INSTALLED_APPS"


def check_settings(project: Project) -> Findings:
    """The apps, their order, and the hosts that Django answers to."""
    if project.apps_error:
        text = f"Django cannot load the apps: {project.apps_error}"
        place = place_of(project.settings_module, APPS)
        yield Finding(Level.ERROR, APPS, text, "Correct them or what they import.", place=place)
    else:
        yield from _apps(project)
    yield from _hosts(project)


def _apps(project: Project) -> Findings:
    found = [*_order(project), *_daphne(project), *_channels(project)]
    if not found and project.runserver == "channels":
        found = [Finding(Level.OK, APPS, "runserver serves WebSockets.")]
    elif not found:
        found = [Finding(Level.OK, APPS, f"runserver is that of {project.runserver}.")]
    yield from found


def _order(project: Project) -> Findings:
    """What the system checks say, but for daphne, whose line is named below."""
    for message in project.order_of_apps:
        if message.id != "channels.W003":
            level = Level.WARNING if message.level <= WARNING else Level.ERROR
            place = place_of(project.settings_module, APPS, "channels")
            yield Finding(level, APPS, message.msg, message.hint or "", place=place)


def _daphne(project: Project) -> Findings:
    if "daphne" not in project.apps:
        return
    place = place_of(project.settings_module, APPS, "daphne")
    if "channels" not in project.apps:
        text = "daphne is among them and channels is not, so runserver is daphne's."
        advice, code = 'Put "channels" in the place of "daphne".', '"channels",'
        yield Finding(Level.WARNING, APPS, text, advice, code, place)
        return
    level, text = Level.HINT, "daphne is among them, and runserver is that of channels already."
    if project.apps.index("daphne") < project.apps.index("channels"):
        text = "daphne comes before channels, so runserver is daphne's and not that of channels."
        level = Level.WARNING
    if place is None:
        advice = 'Take "daphne" out of INSTALLED_APPS.'
        yield Finding(level, APPS, text, advice)
    elif place.text.rstrip(",").strip("'\"").startswith("daphne"):
        yield Finding(level, APPS, text, "Take out this line:", place.text, place)
    else:
        yield Finding(level, APPS, text, 'Take "daphne" out of this line:', place.text, place)


def _channels(project: Project) -> Findings:
    if "channels" in project.apps or "daphne" in project.apps:
        return
    yield Finding(
        Level.HINT,
        APPS,
        "channels is not among them, so runserver serves no WebSockets; channels serve does.",
        "Put it first:",
        '"channels",',
        place_of(project.settings_module, APPS),
    )


def _hosts(project: Project) -> Findings:
    if project.settings.DEBUG or project.settings.ALLOWED_HOSTS:
        yield Finding(Level.OK, "ALLOWED_HOSTS", _hosts_text(project))
        return
    yield Finding(
        Level.ERROR,
        "ALLOWED_HOSTS",
        "It is empty and DEBUG is off: Django answers every request with 400.",
        "Name the hosts of this site, as in:",
        'ALLOWED_HOSTS = ["example.com"]',
        place_of(project.settings_module, "ALLOWED_HOSTS"),
    )


def _hosts_text(project: Project) -> str:
    hosts = list(project.settings.ALLOWED_HOSTS)
    return ", ".join(map(str, hosts)) or "Empty; with DEBUG that is localhost."
