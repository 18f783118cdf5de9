"""Describes a public name in one line: its kind, and the calls that it allows.

    "async (self, message)"     a coroutine function
    "class (application, scope)"
    "= 'default'"               a value

`described` tells what is there. `allows` compares two signatures: every call that
the one allows, the other allows too, with the same meaning.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any, Final

from asgiref.sync import SyncToAsync, iscoroutinefunction

VALUES: Final = (str, int, float, bool, type(None), list, tuple, dict)
EMPTY: Final = inspect.Parameter.empty
Parameter = inspect.Parameter


def found(dotted: str) -> Any:
    """The object of a dotted name; a member of a class as the class holds it."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            place: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            member = inspect.getattr_static if isinstance(place, type) else getattr
            place = member(place, name)
        return place
    raise ModuleNotFoundError(dotted)


def kind(thing: Any) -> str:
    if isinstance(thing, property):
        return "property"
    if isinstance(thing, classmethod | staticmethod):
        return f"{type(thing).__name__} {kind(thing.__func__)}"
    if isinstance(thing, type):
        return "class"
    if isinstance(thing, VALUES):
        return f"= {thing!r}"
    if inspect.ismodule(thing):
        return "module"
    # Of two kinds; which one, no caller can tell.
    if iscoroutinefunction(thing) or isinstance(thing, SyncToAsync):
        return "async"
    return "def" if inspect.isfunction(thing) else f"a {type(thing).__name__}"


def signature(thing: Any) -> inspect.Signature | None:
    plain = thing.__func__ if isinstance(thing, classmethod | staticmethod) else thing
    if isinstance(plain, property) or not callable(plain):
        return None
    try:
        return unannotated(inspect.signature(plain))
    except ValueError:
        return None


def unannotated(given: inspect.Signature) -> inspect.Signature:
    parameters = [p.replace(annotation=EMPTY) for p in given.parameters.values()]
    return given.replace(parameters=parameters, return_annotation=inspect.Signature.empty)


def described(dotted: str) -> str:
    thing = found(dotted)
    calls = signature(thing)
    return f"{kind(thing)} {calls}" if calls is not None else kind(thing)


def stated_signature(line: str) -> inspect.Signature:
    """The signature in a line of the table, of whose defaults Python's own literals are enough."""
    parameters = line[line.index("(") + 1 : line.rindex(")")]
    return inspect.signature(eval(f"lambda {parameters}: None"))


def allows(ours: inspect.Signature, theirs: inspect.Signature) -> bool:
    """Ours may have further parameters, each with a default."""
    mine, wanted = list(ours.parameters.values()), list(theirs.parameters.values())
    names = {p.name: p for p in mine}
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    places = [p.name for p in mine if p.kind in positional]
    for index, parameter in enumerate(p for p in wanted if p.kind in positional):
        if places[index : index + 1] != [parameter.name]:
            return False
    return all(
        parameter.name in names and _fits(names[parameter.name], parameter) for parameter in wanted
    ) and all(_may_be_left_out(p) for p in mine if p.name not in theirs.parameters)


def _fits(mine: inspect.Parameter, wanted: inspect.Parameter) -> bool:
    kinds = {wanted.kind}
    if wanted.kind is Parameter.KEYWORD_ONLY:
        kinds.add(Parameter.POSITIONAL_OR_KEYWORD)
    return mine.kind in kinds and repr(mine.default) == repr(wanted.default)


def _may_be_left_out(parameter: inspect.Parameter) -> bool:
    variable = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return parameter.kind in variable or parameter.default is not EMPTY


def seen_as(dotted: str, stated: str) -> str:
    """What is there: in the very words of `stated` if it allows whatever that allows."""
    try:
        thing = found(dotted)
    except (ImportError, AttributeError) as error:
        return type(error).__name__
    line = described(dotted)
    calls = signature(thing)
    if calls is None or "(" not in stated:
        return line
    same_kind = stated.startswith(kind(thing) + " (")
    return stated if same_kind and allows(calls, stated_signature(stated)) else line
