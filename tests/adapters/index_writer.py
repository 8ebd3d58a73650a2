"""A process of its own that writes index files until it is killed: run as `index_writer.py PATH`.

It prints the stamps of the two indexes that it writes in turn, one JSON per line. Then, for each line on its standard
input, it forks a writer, prints the writer's process id and waits for its end; the imports, which take most of a
start, are paid once.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from itertools import count
from pathlib import Path

import numpy as np

from adctl.adapters.winner_index import WinnerIndex, build_index, write_index
from adctl.domain.embedding.index_stamp import index_stamp
from adctl.domain.ids import Account

DIMS = 256


def index_of(size: int) -> WinnerIndex:
    stamp = index_stamp(Account("studio"), "any", DIMS, bytes(16 * size))
    vectors = np.random.default_rng(size).standard_normal((size, DIMS)).astype(np.float32)
    return build_index(stamp, range(size), vectors)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    path, indexes = Path(sys.argv[1]), [index_of(1500), index_of(1501)]
    for index in indexes:
        say(json.dumps(asdict(index.stamp)))
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            for turn in count():
                write_index(path, indexes[turn % len(indexes)])
        say(str(child))
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main()
