"""Lets a fuzzer that is led by coverage invent files: `python -m tests.fuzz.files [FOLDER] [-max_total_time=300]`.

Needs the extra `fuzz`. FOLDER keeps what it found interesting, so that the next run goes on from there; it starts from
the corpus of broken files. A finding ends the run and is written to a file `crash-…`, which can be given again.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.adapters.files.bad_cells import cells
from tests.adapters.files.bad_input_corpus import files


def main(arguments: list[str]) -> None:
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["adctl"]):
        look = import_module("tests.fuzz.readers").look
    with tempfile.TemporaryDirectory() as folder:
        contents = [case.data for case in files()] + [data for _, data, _, _ in cells()]
        for number, content in enumerate(contents):
            # The first byte says how many bad rows are allowed.
            (Path(folder) / f"{number:04}").write_bytes(b"\2" + content)
        atheris.Setup([*arguments, folder, "-max_len=4096"], look)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
