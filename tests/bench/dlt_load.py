"""One load of the bulk benchmark's rows by dlt's merge; runs in an environment that has dlt and not adctl."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from importlib import import_module
from urllib.parse import parse_qsl, quote, urlsplit

from tests.bench.bulk_rows import KEYS, dicts


def main(url: str, table: str, number: int) -> None:
    dlt = import_module("dlt")
    address = urlsplit(url)
    given = dict(parse_qsl(address.query))
    # dlt asks for a host and a password, which a server behind a socket does not have.
    credentials = {
        "database": address.path.removeprefix("/"),
        "username": address.username or given.get("user", ""),
        "password": address.password or "unused",
        "host": quote(address.hostname or given["host"], safe=""),
        "port": address.port or int(given.get("port", 5432)),
    }
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            pipeline_name=f"bench_{table}",
            pipelines_dir=folder,
            destination=dlt.destinations.postgres(credentials),
            dataset_name=f"dlt_{table}",
        )
        started = time.monotonic()
        source = dlt.resource(
            dicts(table, number), name=table, write_disposition="merge", primary_key=list(KEYS[table])
        )
        pipeline.run(source)
        taken = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stderr.write(f"dlt {dlt.__version__}\n")
    sys.stdout.write(json.dumps([taken, peak]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
