"""Run the stand-in by hand: `python -m tests.loopback --port 8080 [--root FOLDER] [--fail PATTERN STATUS TIMES]`."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.loopback.server import LoopbackHub


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--fail", nargs=3, action="append", default=[], metavar=("PATTERN", "STATUS", "TIMES"))
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        LoopbackHub(options.root or Path(temporary), port=options.port) as hub,
    ):
        for pattern, status, times in options.fail:
            hub.fail(pattern, status=int(status), times=int(times), retry_after=1)
        sys.stdout.write(json.dumps({"url": hub.url, "tokens": hub.tokens}) + "\n")
        sys.stdout.flush()
        seen = 0
        while True:
            time.sleep(0.2)
            for call in hub.calls[seen:]:
                seen += 1
                sys.stderr.write(f"{call.method} {call.path} {call.status} {call.received}\n")


if __name__ == "__main__":
    main()
