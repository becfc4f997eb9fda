# SPDX-License-Identifier: GPL-2.0-or-later
"""JSON to and from the dataclasses of weft.model, by their type hints.

Reading is strict about types, so that a wrong answer is found here and not far away, and tolerant of members that this library does not
know, which a newer weftd may send. A member whose name is a keyword of Python has a trailing underscore (`from_`).
"""

from __future__ import annotations

import dataclasses
import functools
import re
import typing
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Mapping, Tuple, Type, TypeVar

from .errors import ProtocolError

T = TypeVar("T")

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))")


def encode(value: object) -> object:
    """VALUE as JSON's types. Members of dataclasses that are None are left out; one with an attribute `json` is that."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if hasattr(value, "json"):
            return value.json
        members = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name.rstrip("_"): encode(member) for name, member in members.items() if member is not None}
    if isinstance(value, Mapping):
        return {key: encode(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(member) for member in value]
    return value


def decode(kind: Type[T], value: object, place: str = "") -> T:
    """VALUE as the dataclass KIND. PLACE is a JSON pointer to it, for errors."""
    return typing.cast(T, _decode_object(kind, value, place))


def time_of(text: str) -> datetime:
    """RFC 3339's form, which datetime.fromisoformat() reads in whole from Python 3.11 on only. Digits beyond microseconds are cut off."""
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError(f"no time: {text!r}")
    seconds, fraction, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    zone = timezone(-offset if sign == "-" else offset)
    return datetime.fromisoformat(f"{seconds}.{(fraction or '0')[:6]:0<6}").replace(tzinfo=zone)


@functools.lru_cache(maxsize=None)
def members_of(kind: Type[Any]) -> Tuple[Tuple[str, str, Any, bool], ...]:
    """(attribute, member, type, required) of each field of a dataclass but `raw`."""
    hints = typing.get_type_hints(kind)
    return tuple(
        (
            field.name,
            field.name.rstrip("_"),
            hints[field.name],
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(kind)
        if field.name != "raw"
    )


def _wrong(place: str, value: object, wanted: str) -> ProtocolError:
    shown = repr(value)
    return ProtocolError(f"the answer has {shown if len(shown) < 60 else shown[:60] + '...'} at {place or 'its top'}, not {wanted}")


def _decode_object(kind: Any, value: object, place: str) -> object:
    if not isinstance(value, dict):
        raise _wrong(place, value, "an object")
    found: Dict[str, object] = {}
    for attribute, member, hint, required in members_of(kind):
        if member in value:
            found[attribute] = _decode(hint, value[member], f"{place}/{member}")
        elif required:
            raise ProtocolError(f"the answer lacks {place}/{member}")
    if "raw" in kind.__dataclass_fields__:
        found["raw"] = value
    return kind(**found)


def _decode_union(choices: Tuple[Any, ...], value: object, place: str) -> object:
    if value is None and type(None) in choices:
        return None
    choices = tuple(choice for choice in choices if choice is not type(None))
    fitting = [choice for choice in choices if _fits(choice, value)]
    return _decode(fitting[0] if fitting else choices[0], value, place)


def _fits(hint: Any, value: object) -> bool:
    if dataclasses.is_dataclass(hint):
        return isinstance(value, dict)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _decode(hint: Any, value: object, place: str) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is object:
        return value
    if origin is typing.Union:
        return _decode_union(arguments, value, place)
    if origin is typing.Literal:  # a later weftd may have more words
        hint = type(arguments[0])
    if dataclasses.is_dataclass(hint):
        return _decode_object(hint, value, place)
    if origin is list:
        if not isinstance(value, list):
            raise _wrong(place, value, "a list")
        return [_decode(arguments[0], item, f"{place}/{i}") for i, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(place, value, "an object")
        return {key: _decode(arguments[1], item, f"{place}/{key}") for key, item in value.items()}
    return _decode_scalar(hint, value, place)


def _decode_scalar(hint: Any, value: object, place: str) -> object:
    if hint is datetime:
        try:
            return time_of(value if isinstance(value, str) else "")
        except ValueError:
            raise _wrong(place, value, "a time") from None
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _wrong(place, value, {str: "a string", int: "a number", bool: "a truth value"}.get(hint, hint.__name__))
    return value
