"""Work on very many ads some thousand at a time: what it needs on the way stays in the cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from adctl.domain.policies.protocol import Ints

PIECE = 16_384
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
_Columns = TypeVar("_Columns", bound=Any)


def by_pieces(ads: int, make: Callable[[slice], _Columns]) -> _Columns:
    """Columns for all ads, of what `make` gives for some of them; what is no array is the same in all.

    Columns are the fields of a dataclass or the values of a dict, which may be such themselves. Every array among them
    is one, has an entry or a row per ad, and so one dimension or two. `make` must judge each ad by itself.
    """
    first = make(slice(0, min(PIECE, ads)))
    if ads <= PIECE:
        return first
    whole = _room(ads, first)
    columns = tuple(_columns(whole))
    for start in range(0, ads, PIECE):
        part = slice(start, min(start + PIECE, ads))
        for column, piece in zip(columns, _columns(make(part) if start else first), strict=True):
            column[part] = piece
    return whole


def chosen(of: int, wanted: int) -> Ints | slice:
    """About `wanted` of so many, one from each of as many stretches (indexes, which ascend). Even steps would meet
    whatever repeats at even steps, and so take those that are all alike for all: the place in a stretch varies as by
    chance."""
    if of < 2 * wanted:
        return slice(None)
    edges: Ints = np.arange(wanted + 1) * of // wanted
    places = np.arange(wanted, dtype=np.float64) ** 2 * _GOLDEN % 1.0
    found: Ints = edges[:-1] + (np.diff(edges) * places).astype(np.int64)
    return found


def some(columns: _Columns, part: slice) -> _Columns:
    """Those of some of the ads."""
    return _changed(columns, lambda column: column[part], lambda nested: some(nested, part))


def _room(ads: int, piece: _Columns) -> _Columns:
    """Memory for the columns of all ads of which that is a piece: one stretch for all that are of a kind and belong
    together, which takes far fewer pages than many arrays and goes back when nobody needs any of them."""
    needed: Counter[Any] = Counter()
    for column in _named(piece).values():
        if isinstance(column, np.ndarray):
            needed[column.dtype] += column[0].size
    stretches = {kind: np.empty((number, ads), dtype=kind) for kind, number in needed.items()}

    def like(column: Any) -> Any:
        width, stretch = column[0].size, stretches[column.dtype]
        stretches[column.dtype] = stretch[width:]
        return stretch[:width].T if column.ndim > 1 else stretch[0]

    return _changed(piece, like, lambda nested: _room(ads, nested))


def _named(columns: Any) -> dict[str, Any]:
    if isinstance(columns, dict):
        return columns
    return {name: getattr(columns, name) for name in columns.__dataclass_fields__}


def _nested(value: Any) -> bool:
    return isinstance(value, dict) or hasattr(value, "__dataclass_fields__")


def _columns(columns: Any) -> Iterator[Any]:
    for value in _named(columns).values():
        if isinstance(value, np.ndarray):
            yield value
        elif _nested(value):
            yield from _columns(value)


def _changed(columns: _Columns, change: Callable[[Any], Any], change_nested: Callable[[Any], Any]) -> _Columns:
    changed = {}
    for name, value in _named(columns).items():
        if isinstance(value, np.ndarray):
            changed[name] = change(value)
        elif _nested(value):
            changed[name] = change_nested(value)
    remade: Any = {**columns, **changed} if isinstance(columns, dict) else replace(columns, **changed)
    return remade  # type: ignore[no-any-return]
