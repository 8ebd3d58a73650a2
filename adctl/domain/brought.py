"""Loads a class that people bring by its name, "module:Class", from wherever Python finds modules."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adctl.errors import ConfigurationError


def brought_class(named: str, what: str, fix: str) -> Any:
    """What the name means. Raises ConfigurationError, in the words of `what` and `fix`, when there is no such thing."""
    module_name, _, class_name = named.partition(":")
    try:
        with strangers_code():
            return getattr(importlib.import_module(module_name), class_name)
    # Whatever a stranger's module does when it is run.
    except Exception as error:
        raise ConfigurationError(f"{what} {named!r}: cannot be imported: {said(error)}", fix=fix) from error


@contextmanager
def strangers_code() -> Iterator[None]:
    """Within it, to exit is to fail, too."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"it exits with {error.code!r}") from error


def said(error: Exception) -> str:
    """The error in one line, with the line of the module that it comes from where it says more than its name."""
    told = f"{error}" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error.__cause__, SystemExit):
        frames = traceback.extract_tb(error.__cause__.__traceback__)
    own = [one for one in frames if "importlib" not in one.filename and one.filename != __file__]
    return f"{told} ({own[-1].filename}, line {own[-1].lineno})" if own else told
