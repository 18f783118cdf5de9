"""What is known of a channel layer, as lines for people.

Numbers that mean a loss are coloured, where there is a terminal; columns are as
wide as what stands in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from channels.layers import InMemoryChannelLayer
from channels.management.survey import is_local

# Of each list, unless all was asked for.
ROWS: Final = 20
_LOST: Final = ("dropped_full", "dropped_closed", "dropped_unreachable", "dropped_failed")
_COLUMNS: Final = ("groups", "members", "waiting", "dropped", "expired", "missed")


def lines(layer: Any, facts: dict[str, Any], style: Any, *, whole: bool) -> Iterator[str]:
    """All of it; `whole`: without leaving out the ends of long lists."""
    yield style.MIGRATE_HEADING(f"Channel layer {facts['alias']!r}")
    yield from _head(facts, style)
    if isinstance(layer, InMemoryChannelLayer):
        yield ""
        yield style.WARNING(
            "The in-memory layer stays within one process. This is the command's own: what "
            "others hold cannot be seen from here."
        )
    if is_local(layer) or isinstance(layer, InMemoryChannelLayer):
        yield from _contents(facts, style, whole)
    else:
        yield from _foreign(facts, style)


def sent_lines(facts: dict[str, Any], style: Any) -> Iterator[str]:
    """What was sent, and who is there to hear it."""
    sent = facts["sent"]
    yield f"Sent to {sent['to']} {style.SUCCESS(sent['name'])}: {json.dumps(sent['message'])}"
    if "members" in sent and not sent["members"]:
        yield style.WARNING("The group has no members: nobody hears it.")
    elif "members" in sent:
        yield f"The group has {_count(sent['members'], 'member')}, {_where(sent['processes'])}."
    elif sent["to"] == "group":
        yield "How many members it has, this layer does not tell."


# -- parts -------------------------------------------------------------------


def _head(facts: dict[str, Any], style: Any) -> Iterator[str]:
    rows = [("backend", facts["backend"])]
    options = [f"{name} = {json.dumps(value)}" for name, value in facts["options"].items()]
    rows += zip(["options"] + [""] * len(options), options or ["the defaults"], strict=False)
    if "bus" in facts:
        rows.append(("bus", facts["bus"]))
        rows.append(("host", f"process {facts['host_pid'] or 'unknown'}"))
    rows.append(("ping", style.SUCCESS(f"{facts['ping_ms']:.2f} ms")))
    for name, value in rows:
        yield f"  {name:<9}{value}"


def _contents(facts: dict[str, Any], style: Any, whole: bool) -> Iterator[str]:
    yield from _processes(facts["processes"], style)
    yield from _losses(facts, style)
    groups = [
        (group, str(count["members"]), str(count["processes"]))
        for group, count in facts["groups"].items()
    ]
    yield from _list("Groups", ("group", "members", "processes"), groups, style, whole)
    if whole:
        yield from _members(facts, style)
    waiting = [(channel, str(count)) for channel, count in facts["waiting"].items()]
    if waiting:
        yield from _list("Named channels", ("channel", "waiting"), waiting, style, whole)


def _processes(processes: list[dict[str, Any]], style: Any) -> Iterator[str]:
    rows = [_process_row(process) for process in processes]
    yield ""
    yield style.MIGRATE_HEADING("Processes")
    titles = ("pid", "", *_COLUMNS)
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    yield style.MIGRATE_LABEL(_row(titles, widths, numbers_from=2))
    for process, row in zip(processes, rows, strict=True):
        line = _row(row, widths, numbers_from=2).rstrip()
        if "statistics" in process:
            lost = any(cell != "0" for cell in row[5:])
            yield style.WARNING(line) if lost else line
        elif process["hosting"]:
            yield line
        else:
            yield style.ERROR(f"{line}  does not answer: it is stopped, or very busy")


def _process_row(process: dict[str, Any]) -> tuple[str, ...]:
    pid, role = str(process["pid"]), "host" if process["hosting"] else ""
    counts = process.get("statistics")
    if counts is None:
        return (pid, role, *("" for _ in _COLUMNS))
    numbers = {**counts, "members": counts["memberships"], "dropped": _dropped(counts)}
    return (pid, role, *(str(numbers.get(name, 0)) for name in _COLUMNS))


def _dropped(counts: dict[str, int]) -> int:
    return sum(counts.get(name, 0) for name in _LOST)


def _losses(facts: dict[str, Any], style: Any) -> Iterator[str]:
    """Why messages were dropped: one line for each process that dropped some."""
    told = []
    for process in facts["processes"]:
        counts = process.get("statistics", {})
        reasons = [
            f"{counts[name]} {name.removeprefix('dropped_')}" for name in _LOST if counts.get(name)
        ]
        if reasons:
            told.append(f"  {process['pid']}  {', '.join(reasons)}")
    if facts["expired"]:
        told.append(f"  {facts['expired']} expired on named channels, in the host")
    if told:
        yield ""
        yield style.MIGRATE_HEADING("Drops")
        yield from (style.WARNING(line) for line in told)


def _members(facts: dict[str, Any], style: Any) -> Iterator[str]:
    yield ""
    yield style.MIGRATE_HEADING("Members")
    for group in facts["groups"]:
        yield f"  {group}"
        for process in facts["processes"]:
            for channel in process.get("groups", {}).get(group, ()):
                yield f"    {channel}  in {process['pid']}"
        for channel in facts["named_members"].get(group, ()):
            yield f"    {channel}  a named channel"


def _foreign(facts: dict[str, Any], style: Any) -> Iterator[str]:
    statistics = facts.get("statistics", {})
    if statistics:
        yield ""
        yield style.MIGRATE_HEADING("What it counts in this process")
        width = max(map(len, statistics))
        yield from (f"  {name:<{width}}  {value}" for name, value in statistics.items())
    yield ""
    yield (
        "Another package's layer: it carries messages, as the ping shows. Its groups, members, "
        "and what it dropped, it tells nobody."
    )


# -- tables ------------------------------------------------------------------


def _list(
    heading: str, titles: Sequence[str], rows: list[Any], style: Any, whole: bool
) -> Iterator[str]:
    shown = rows if whole else rows[:ROWS]
    yield ""
    yield style.MIGRATE_HEADING(heading)
    if not rows:
        yield "  none"
        return
    widths = [max(map(len, column)) for column in zip(titles, *shown, strict=True)]
    yield style.MIGRATE_LABEL(_row(titles, widths, numbers_from=1))
    for row in shown:
        yield _row(row, widths, numbers_from=1)
    if len(shown) < len(rows):
        yield f"  ... and {len(rows) - len(shown)} more: --verbosity 2 shows all"


def _row(cells: Sequence[str], widths: Sequence[int], *, numbers_from: int) -> str:
    """Cells side by side: text to the left, numbers to the right."""
    pairs = enumerate(zip(cells, widths, strict=True))
    return "  " + "  ".join(
        f"{cell:>{width}}" if index >= numbers_from else f"{cell:<{width}}"
        for index, (cell, width) in pairs
    )


def _where(processes: int) -> str:
    # Named channels are with the host, and no process's own.
    return (
        f"in {_count(processes, 'process', 'processes')}" if processes else "named channels alone"
    )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
