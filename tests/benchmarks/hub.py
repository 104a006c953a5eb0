"""Measure pushes to the loopback server.

    python tests/benchmarks/hub.py [--images 20000]      cut off, refused and resumed; peak memory
    python tests/benchmarks/hub.py --source openrad.tar  clean, split, push with images, read back, compare, train

Both print JSON.
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
    parser.add_argument("--source", type=Path, help="Collection to clean, split, push and read back.")
    options = parser.parse_args()
    if options.source:
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(json.dumps(_round_trip(options.source.resolve(), Path(folder)), indent=2) + "\n")
        return
    images = options.images
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


def _round_trip(source: Path, folder: Path) -> dict[str, object]:
    """Take a collection through the commands and compare what `load_dataset` gives with what was pushed."""
    with LoopbackHub(folder / "storage") as hub:
        os.environ |= _environment(hub) | {"HF_HOME": str(folder / "home")}
        repository = ["--repo-id", "ada/images", "--with-images", "--license", "other", "--max-shard-size", "5MB"]
        _call("radrefine", "clean", "--src", str(source), "--out", "refined", "--quiet", folder=folder)
        _call("radrefine", "split", "refined", "--stratify", "--out", "split", "--quiet", folder=folder)
        _call("radrefine", "push", "split", *repository, folder=folder)
        return {
            **_compare(folder),
            "uploads": len(hub.uploads()),
            "uploaded_twice": _twice(hub),
            "finetune": _train(folder),
        }


def _call(program: str, *arguments: str, folder: Path) -> None:
    """Run a command as a user does; failed images (code 3) are told in its tables and do not stop the measurement."""
    code = f"from cli.{program} import main; main()"
    if subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, check=False).returncode not in (0, 3):
        raise SystemExit(f"{program} {arguments[0]} failed")


def _train(folder: Path) -> dict[str, object]:
    """Heat a model on a few images and finetune it for an epoch, both straight from the data set on the Hub."""
    import pandas as pd

    heat = ["--epochs", "1", "--limit-train", "256", "--limit-val", "64", "--quiet"]
    _call("pgnm", "pretrain", "ada/images", "--out", "heated", *heat, folder=folder)
    _call("pgnm", "finetune", "ada/images", "--from", "heated", "--out", "tuned", "--epochs", "1", folder=folder)
    rows = pd.read_csv(folder / "tuned" / "metrics.csv")
    return {"epochs": len(rows), **rows.iloc[-1].to_dict()}


def _compare(folder: Path) -> dict[str, object]:
    import datasets
    import pandas as pd

    loaded = datasets.load_dataset("ada/images", cache_dir=str(folder / "cache"))
    result: dict[str, object] = {}
    for part, name in {"train": "train", "val": "validation", "test": "test"}.items():
        table = pd.read_csv(folder / "split" / f"{part}.csv")
        rows = loaded[name]
        names = rows.features["label"].int2str(rows["label"][:])
        raw = rows.cast_column("image", datasets.Image(decode=False))
        equal = [
            row["image"]["bytes"] == (folder / "refined" / "images" / path).read_bytes()
            for row, path in zip(raw, table["path"], strict=True)
        ]
        result[name] = {
            "images": len(equal),
            "same_bytes": sum(equal),
            "same_labels": sum(a == b for a, b in zip(names, table["label"], strict=True)),
        }
    return result


def _twice(hub: LoopbackHub) -> int:
    return len(hub.uploads()) - len(set(hub.uploads()))


def _environment(hub: LoopbackHub) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": "hf_write",
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


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
            "uploaded_twice": _twice(hub),
            "commits": len(repo.messages) - 1,
            "last_run": last,
            "run_after_that": again,
        }


def _start(hub: LoopbackHub, split: Path, size: str) -> "subprocess.Popen[str]":
    environment = os.environ | _environment(hub)
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
