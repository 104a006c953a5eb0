"""Measure a push to the loopback server: cut off, refused and resumed, and its peak memory.

    python tests/benchmarks/hub.py [--images 20000]

prints JSON: shards uploaded and how often, what each run uploaded, and peak memory at a tenth and at all of the images.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.loopback import LoopbackHub
from tests.radrefine.hub.conftest import make_split

_PROGRAM = """
import json, resource, sys
from pathlib import Path
from radrefine.hub import PushOptions, push_split
options = PushOptions("ada/images", with_images=True, license="cc-by-4.0", max_shard_size=sys.argv[2])
done = push_split(Path(sys.argv[1]), options)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"uploaded": len(done.uploaded), "already_there": len(done.present), "peak_mib": round(peak)}))
"""


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        few, many = (_split(Path(folder) / str(n), n) for n in (images // 10, images))
        result = {
            "resume": _resume(many, Path(folder)),
            "peak_mib": {
                f"{n} images, shards of {size}": _measure(split, size, Path(folder) / f"m{n}{size}")
                for n, split in ((images // 10, few), (images, many))
                for size in ("1MB", "500MB")
            },
        }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def _split(where: Path, images: int) -> Path:
    test = images // 10
    return make_split(where, parts={"train": images - 2 * test, "val": test, "test": test}, size=64)


def _resume(split: Path, folder: Path) -> dict[str, object]:
    """Kill a push at three places, refuse it with 429 and 500, and let it end."""
    with LoopbackHub(folder / "resume") as hub:
        for killed in range(3):
            _kill_after(hub, split, uploads=len(hub.uploads()) + 4 + killed)
        hub.fail(r"PUT /lfs", status=429, retry_after=1, skip=1)
        hub.fail(r"POST .*/(commit|batch)", status=500, times=2, skip=1)
        hub.drop(r"PUT /lfs", after_bytes=10_000, skip=2)
        hub.lose_answer(r"POST .*/commit/")
        last = _run(hub, split, "5MB")
        again = _run(hub, split, "5MB")
        uploads = hub.uploads()
        repo = hub.repo("dataset", "ada/images")
        return {
            "large_files": sum(entry.lfs for entry in repo.tree("main").values()),
            "uploads": len(uploads),
            "uploaded_twice": len(uploads) - len(set(uploads)),
            "commits": len(repo.messages) - 1,
            "last_run": last,
            "run_after_that": again,
        }


def _start(hub: LoopbackHub, split: Path, size: str) -> "subprocess.Popen[str]":
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": "hf_write",
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-c", _PROGRAM, str(split), size]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _kill_after(hub: LoopbackHub, split: Path, *, uploads: int) -> None:
    process = _start(hub, split, "5MB")
    while len(hub.uploads()) < uploads and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()


def _run(hub: LoopbackHub, split: Path, size: str) -> dict[str, int]:
    process = _start(hub, split, size)
    answer = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"the push failed with exit code {process.returncode}")
    return dict(json.loads(answer))


def _measure(split: Path, size: str, folder: Path) -> int:
    with LoopbackHub(folder) as hub:
        return _run(hub, split, size)["peak_mib"]


if __name__ == "__main__":
    main()
