"""What is wrong with a project, and the line that changes it: `channels doctor`.

`project` looks, once; the checks get what it saw as values and answer findings;
`report` prints them. A check speaks up only where it is right in all cases.
"""

from __future__ import annotations

from .application import check_application
from .environment import check_environment
from .findings import Finding, is_error, without_secrets
from .handlers import check_handlers
from .installed import check_settings
from .layers import check_layers
from .project import Project

__all__ = ["examine", "is_error"]

CHECKS = (check_environment, check_settings, check_application, check_handlers, check_layers)


def examine(project: Project) -> list[Finding]:
    """Return all findings on a project, without its secrets."""
    return [without_secrets(finding) for check in CHECKS for finding in check(project)]
