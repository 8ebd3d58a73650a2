"""Loads a text embedder that people bring, and holds it to what an embedder promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adctl.domain.brought import brought_class
from adctl.domain.embedding.embedder import TextEmbedder, Vectors
from adctl.errors import ConfigurationError

_KEY, _FIX = "winners.embedder", "see adctl.domain.embedding.embedder.TextEmbedder"
_PROBE = ("Strong at fifty", "", "Noch heute anfangen 💪")
_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTextEmbedder:
    """A brought embedder whose every answer is checked: shape, finite values, rows of unit length or zero."""

    named: str
    inner: Any
    model_id: str
    dims: int

    def encode(self, texts: Sequence[str]) -> Vectors:
        """float32 (len(texts), dims). Raises ConfigurationError when the model answers anything else."""
        if not texts:
            return np.empty((0, self.dims), np.float32)
        answer = np.asarray(self.inner.encode(list(texts)))
        if answer.shape != (len(texts), self.dims) or answer.dtype.kind != "f":
            raise _broken(self.named, f"encode gave {answer.dtype} {answer.shape}, not floats {len(texts), self.dims}")
        vectors = np.ascontiguousarray(answer, np.float32)
        if not np.isfinite(vectors).all():
            raise _broken(self.named, "encode gave a value that is not finite")
        lengths = np.sqrt(np.square(vectors.astype(np.float64)).sum(axis=1))
        if (np.abs(lengths - 1) > _TOLERANCE)[lengths > 0].any():
            raise _broken(self.named, f"encode gave a row of length {lengths.max():.3g}, not 1 or 0")
        return vectors


def load_text_embedder(named: str, directory: Path | None) -> TextEmbedder:
    """The class that `named` ("module:Class") means, made with the model's directory when there is one, and tried out.

    Raises ConfigurationError when it cannot be imported or made, or does not keep an embedder's promises.
    """
    made = brought_class(named, _KEY, _FIX)
    try:
        inner = made(directory) if directory is not None else made()
    except (ImportError, OSError, TypeError, ValueError, KeyError, RuntimeError) as error:
        raise _broken(named, f"cannot be made from {directory}: {error}") from error
    model_id, dims = getattr(inner, "model_id", None), getattr(inner, "dims", None)
    if not isinstance(model_id, str) or not model_id or not isinstance(dims, int) or dims < 1:
        raise _broken(named, f"model_id is {model_id!r} and dims is {dims!r}, not a name and a positive number")
    if not callable(getattr(inner, "encode", None)):
        raise _broken(named, "has no method encode")
    checked = CheckedTextEmbedder(named=named, inner=inner, model_id=f"{named}:{model_id}", dims=dims)
    checked.encode(_PROBE)
    return checked


def _broken(named: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{_KEY} {named!r}: {reason}", fix=_FIX)
