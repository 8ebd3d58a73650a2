"""Brought embedders: the README's own example runs on a tiny local model, and broken promises are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adctl.adapters.own_embedder import load_text_embedder
from adctl.errors import ConfigurationError
from tests.builders import python_of_the_readme
from tests.conftest import Write


def readme_example() -> str:
    return python_of_the_readme("my_embedders.py")


def tiny_model(folder: Path) -> Path:
    """A local model directory: three words with two-dimensional vectors."""
    folder.mkdir()
    (folder / "words.txt").write_text("strong\ngym\nyoga\n")
    np.save(folder / "vectors.npy", np.array([[3.0, 0.0], [1.0, 0.2], [0.0, 2.0]], dtype=np.float32))
    return folder


def test_the_example_of_the_readme_loads_a_local_directory(module: Write, tmp_path: Path) -> None:
    name = module(readme_example())

    loaded = load_text_embedder(f"{name}:WordVectors", tiny_model(tmp_path / "model"))

    vectors = loaded.encode(["Strong gym", "gym", "yoga", "zzz", ""])
    assert loaded.dims == 2
    assert loaded.model_id.startswith(f"{name}:WordVectors:")
    assert float(vectors[0] @ vectors[1]) > 0.98
    assert abs(float(vectors[0] @ vectors[2])) < 0.2
    assert not vectors[3:].any()
    assert loaded.encode([]).shape == (0, 2)


def test_another_directory_is_another_model(module: Write, tmp_path: Path) -> None:
    name = module(readme_example())
    one, other = tiny_model(tmp_path / "one"), tiny_model(tmp_path / "other")
    np.save(other / "vectors.npy", np.eye(3, 2, dtype=np.float32))

    ids = {load_text_embedder(f"{name}:WordVectors", folder).model_id for folder in (one, other)}

    assert len(ids) == 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "cannot be imported: module"),
        ("class Own:\n    def __init__(self, a, b): pass", "cannot be made from None"),
        ("class Own:\n    pass", "model_id is None"),
        ("class Own:\n    model_id, dims = 'm', 0", "dims is 0"),
        ("class Own:\n    model_id, dims = 'm', 2", "has no method encode"),
        (
            "import numpy as np\nclass Own:\n    model_id, dims = 'm', 2\n"
            "    def encode(self, texts): return np.zeros((len(texts), 3), np.float32)",
            "encode gave float32 (3, 3), not floats (3, 2)",
        ),
        (
            "import numpy as np\nclass Own:\n    model_id, dims = 'm', 2\n"
            "    def encode(self, texts): return np.full((len(texts), 2), np.nan)",
            "not finite",
        ),
        (
            "import numpy as np\nclass Own:\n    model_id, dims = 'm', 2\n"
            "    def encode(self, texts): return np.full((len(texts), 2), 3.0)",
            "a row of length 4.24",
        ),
    ],
)
def test_a_broken_promise_is_named(module: Write, body: str, reason: str) -> None:
    name = module(body)

    with pytest.raises(ConfigurationError) as refused:
        load_text_embedder(f"{name}:Own", None)

    assert reason in str(refused.value)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no_such_module_here"):
        load_text_embedder("no_such_module_here:Own", None)
