"""Reads a creative that somebody wrote down as JSON: an object of texts, by adctl's own names of the fields."""

from __future__ import annotations

from dataclasses import fields

from adctl.adapters.files.opened_files import Limits, Source, open_rewindable
from adctl.adapters.files.physical_lines import BadTextError, read_text
from adctl.adapters.files.strict_json import JsonNumber, Located, parse_json
from adctl.adapters.store.entities import creative_from_fields
from adctl.domain.creatives import Creative
from adctl.domain.ids import CreativeId
from adctl.errors import InputRejectedError

_FIELDS = tuple(f.name for f in fields(Creative) if not f.name.endswith("_id") or f.name == "video_id")
_LIMITS = Limits(file_bytes=1 << 20)


def read_creative(source: Source) -> Creative:
    """The creative of the file; null and what is left out are absent.

    Raises InputRejectedError with line and field for anything else, UsageError when the file cannot be opened.
    """
    with open_rewindable(source) as (name, stream):
        try:
            text = read_text(stream, name=name, limits=_LIMITS)
        except BadTextError as error:
            raise InputRejectedError(error.what, source=name, line=error.line, fix=error.fix) from None
    found = parse_json(text, source=name)
    if not isinstance(found.value, dict):
        fix = 'write {"headline": "…", "body": "…"}'
        raise InputRejectedError("not an object of a creative's fields", source=name, line=found.line, fix=fix)
    present = {field: _text(field, at, name) for field, at in found.value.items() if at.value is not None}
    return creative_from_fields(CreativeId(""), None, present)


def _text(field: str, at: Located, source: str) -> str:
    if field not in _FIELDS:
        raise InputRejectedError(
            "unknown field", source=source, line=at.line, column=field, fix=f"known: {', '.join(_FIELDS)}"
        )
    if isinstance(at.value, JsonNumber) or not isinstance(at.value, str):
        fix = 'write a text such as "…", or null'
        raise InputRejectedError("not a text in quotes", source=source, line=at.line, column=field, fix=fix)
    return at.value
