"""What happens to the layers of a process when it forks, and when it ends."""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import sys
import threading
import weakref
from typing import Protocol


class Layer(Protocol):
    """What is told."""

    def forked(self) -> None: ...
    def ending(self) -> None: ...


_layers: weakref.WeakSet[Layer] = weakref.WeakSet()
_lock = threading.Lock()
_registered = False


def look_after(layer: Layer) -> None:
    """Tell `layer` of forks, in the child, and of the process's end."""
    global _registered
    with _lock:
        _layers.add(layer)
        if not _registered:
            _registered = True
            os.register_at_fork(after_in_child=_forked)
            atexit.register(_ending)


def _forked() -> None:
    global _lock
    _lock = threading.Lock()
    for layer in list(_layers):
        layer.forked()


def _ending() -> None:
    for layer in list(_layers):
        layer.ending()


def default_name(folder: str) -> str:
    """The name of a project's bus, by its folder: two projects of one user never meet by chance."""
    if not folder:
        return "default"
    base = re.sub(r"[^A-Za-z0-9_-]", "_", os.path.basename(folder))[:24]
    return f"{base or 'project'}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}"


def project_folder() -> str:
    """The folder of the project's settings, by which people tell two projects apart."""
    name = os.environ.get("DJANGO_SETTINGS_MODULE", "").partition(".")[0]
    module = sys.modules.get(name)
    path = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
    return os.path.dirname(os.path.abspath(path)) if path else ""
