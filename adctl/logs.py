"""Log lines on stderr: key=value or JSON, one line a record, redacted."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

from adctl.redaction import redact

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
# They log whole URLs, tokens included, or call home at DEBUG.
_VENDORS = ("urllib3", "requests", "facebook_business", "hubspot", "sqlalchemy", "psycopg")
# What a record has by itself; anything else came with `extra=` and is a field of the line.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_BARE = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f-\x9f]+")


def configure(*, stream: TextIO, verbosity: int = 0, log_format: str = "kv") -> None:
    """Send log lines to `stream`: warnings, with verbosity 1 also information, with 2 also details.

    `log_format` is `kv` or `json`. Called again, it replaces what it set up before. Other libraries stay at warnings.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Lines)]:
        root.removeHandler(handler)
    root.addHandler(_Lines(stream, log_format))
    root.setLevel(logging.WARNING)
    logging.getLogger("adctl").setLevel(_LEVELS[min(verbosity, len(_LEVELS) - 1)])
    for vendor in _VENDORS:
        logging.getLogger(vendor).setLevel(logging.WARNING)


class _Lines(logging.StreamHandler[TextIO]):
    """The one handler: redacts each record, then writes it as a line."""

    def __init__(self, stream: TextIO, log_format: str) -> None:
        super().__init__(stream)
        self.addFilter(_Redaction())
        self.setFormatter(_Json() if log_format == "json" else _KeyValue())

    def emit(self, record: logging.LogRecord) -> None:
        # A line lost to a full disk or a closed pipe must stop no run; logging's own way prints the raw arguments.
        with suppress(OSError, ValueError):
            self.stream.write(self.format(record) + "\n")
            self.flush()


class _Redaction(logging.Filter):
    """Replaces what the record says by its redacted text, exceptions and extra fields included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(_message(record)), None
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        for name, value in _extra(record).items():
            setattr(record, name, _plain(value))
        return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        # A wrong format string must not lose the line, nor show its arguments.
        return str(record.msg)


def _plain(value: object) -> bool | int | float | str | None:
    return value if isinstance(value, bool | int | float | None) else redact(str(value))


def _extra(record: logging.LogRecord) -> Mapping[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields: dict[str, object] = {
        "time": at.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "msg": record.msg,
        **_extra(record),
    }
    traces = {"exception": record.exc_text, "stack": record.stack_info}
    return fields | {name: trace for name, trace in traces.items() if trace}


class _KeyValue(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record), default=str)


def _quoted(value: object) -> str:
    text = str(value)
    # JSON's quoting keeps every record on one line and every control character visible.
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=not text.isprintable())
