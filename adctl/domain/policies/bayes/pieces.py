"""Work on very many ads some thousand at a time: what it needs on the way stays in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

PIECE = 16_384
_Columns = TypeVar("_Columns", bound=Any)


def by_pieces(ads: int, make: Callable[[slice], _Columns]) -> _Columns:
    """A dataclass of columns for all ads, of what `make` gives for some of them; what is no column is the same in all.

    `make` must judge each ad by itself.
    """
    first = make(slice(0, PIECE))
    if ads <= PIECE:
        return first
    columns = {
        one.name: np.empty((ads, *value.shape[1:]), dtype=value.dtype, order="F")
        for one in fields(first)
        if isinstance(value := getattr(first, one.name), np.ndarray) and value.shape[:1] == (PIECE,)
    }
    for start in range(0, ads, PIECE):
        part = slice(start, start + PIECE)
        piece = make(part) if start else first
        for name, column in columns.items():
            column[part] = getattr(piece, name)
    return replace(first, **columns)


def some(columns: _Columns, ads: int, part: slice) -> _Columns:
    """Some of the `ads` of a dataclass of columns."""
    return replace(
        columns,
        **{
            one.name: value[part]
            for one in fields(columns)
            if isinstance(value := getattr(columns, one.name), np.ndarray) and value.shape[:1] == (ads,)
        },
    )
