"""Write a settings file to begin with."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from adctl.domain.report import Fact, Report
from adctl.errors import UsageError


def run(path: Path, content: str) -> Report:
    """Writes `content` to `path` with mode 0600, whole or not at all.

    Raises UsageError when something is there already, or the folder is missing or closed.
    """
    try:
        _write_new(path, content)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", fix="move it away, or name another file") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", fix="name a file in a folder you may write to") from error
    return Report(
        command="init",
        summary=f"Wrote {path}.",
        facts=(Fact(key="path", label="settings file", value=str(path.absolute())),),
        notes=(
            "remove the # before [accounts.main] and its keys, set the tokens in the environment, "
            "then run adctl doctor and adctl migrate",
        ),
    )


def _write_new(path: Path, content: str) -> None:
    # A link, unlike a rename, never replaces what came to be there meanwhile.
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        Path(draft).unlink()
