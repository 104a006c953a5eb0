"""Measure `radrefine clean`: images per second and peak memory over jobs and backends, against the codec floor.

    python tests/benchmarks/clean.py rates            copies and links against decode + encode of the same images
    python tests/benchmarks/clean.py ultrasound       jobs and backends on refined images
    python tests/benchmarks/clean.py scale            20,000 and 200,000 files: rate, memory, time of a second run
    python tests/benchmarks/clean.py damage           2,000 damaged files: every one a row or a valid output
    python tests/benchmarks/clean.py kills            a run killed 20 times against an uninterrupted one

Every figure is a ratio of times taken in the same run, or a count.
"""

import argparse
import contextlib
import hashlib
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image as Pillow

from radrefine.batch import CleanOptions, CleanSummary, clean_collection
from radrefine.errors import ImageError
from radrefine.images import decode_image, encode_png
from radrefine.marks import draw_marks
from radrefine.phantoms import PHANTOMS, make_phantom

SIZE = 224
RUN = (
    "import sys, resource; from joblib.externals.loky import get_reusable_executor; from radrefine.batch import *; "
    "clean_collection(sys.argv[1], sys.argv[2], CleanOptions(jobs=int(sys.argv[3]), backend=sys.argv[4], "
    "link=sys.argv[5] == 'link')); "
    "get_reusable_executor().shutdown(); "  # only of processes that ended is the memory known
    "own, workers = (resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, "
    "resource.RUSAGE_CHILDREN)); print(own, workers)"
)


def pictures(count: int, modality: str) -> list[bytes]:
    """Encode phantoms of a modality, 10 to 35 kB each; ultrasound carries marks."""
    rng = np.random.default_rng(0)
    names = [name for name in PHANTOMS if name.startswith(modality)]
    images = []
    for index in range(count):
        picture = make_phantom(names[index % len(names)], rng, (SIZE, SIZE))
        images.append(encode_png(draw_marks(picture, rng).image if modality == "US" else picture))
    return images


def make(root: Path, count: int, label: str, *, per_folder: int = 2000) -> Path:
    """Write `count` images in folders of a class each; files of equal contents are links to save space."""
    originals = []
    for index, data in enumerate(pictures(48, label.partition("/")[0])):
        path = root.parent / f"{root.name}-original-{index}.png"
        path.write_bytes(data)
        originals.append(str(path))
    for index in range(count):
        folder = root / label / f"class{index // per_folder:03d}"
        if index % per_folder == 0:
            folder.mkdir(parents=True, exist_ok=True)
        # A file system allows some 65,000 links to one file.
        os.link(originals[index % len(originals)], f"{folder}/{index:06d}.png")
    return root


def timed(work: Callable[[], CleanSummary]) -> tuple[CleanSummary, float]:
    """Run and time."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def rates(folder: Path) -> None:
    """Compare passing images on with decoding and encoding them."""
    count = 20_000
    source = make(folder / "raw", count, "CT/chest")
    files = [f"{place}/{name}" for place, _, names in os.walk(source) for name in names][:2000]
    cv2.setNumThreads(1)
    ours = _each(files, lambda name: encode_png(decode_image(Path(name).read_bytes())))
    floor = _each(files, _recode)
    print(f"decode + encode on one thread: OpenCV {1000 * floor:.3f} ms, with our checks {1000 * ours:.3f} ms an image")
    for jobs in (1, 2):
        for link in (True, False):
            out = folder / f"out-{jobs}-{link}"
            options = CleanOptions(jobs=jobs, link=link)
            _, seconds = timed(lambda out=out, options=options: clean_collection(source, out, options))  # type: ignore[misc]
            floor = (floor + _each(files, _recode)) / 2
            way = "links" if link else "copies"
            print(f"{way}, {jobs} jobs: {count / seconds:,.0f} images/s, {floor * count / seconds:.1f} times the floor")
            shutil.rmtree(out)


def _recode(name: str) -> None:
    cv2.imencode(".png", np.asarray(cv2.imdecode(np.fromfile(name, np.uint8), cv2.IMREAD_UNCHANGED)))


def _each(files: list[str], work: Callable[[str], object]) -> float:
    """Return the mean seconds that `work` takes for a file."""
    started = time.perf_counter()
    for name in files:
        work(name)
    return (time.perf_counter() - started) / len(files)


REFINE = (
    "import sys, time, pathlib, cv2; from radrefine.images import *; from radrefine.refine import refine_image; "
    "cv2.setNumThreads(1); data = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[1]).iterdir())[:240]]; "
    "[refine_image(decode_image(one)) for one in data[:10]]; sys.stdin.read(); started = time.perf_counter(); "
    "[encode_png(refine_image(decode_image(one)).image) for one in data]; print(time.perf_counter() - started)"
)


def ceiling(images: Path) -> float:
    """Return what two processors do against one on this machine: plain processes that only refine, none of ours."""
    seconds = []
    for number in (1, 2):
        command = [sys.executable, "-c", REFINE, str(images)]
        # As in the workers of a run: a linear algebra library that takes all processors would leave none to the second.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment}
        processes = [subprocess.Popen(command, **pipes) for _ in range(number)]  # type: ignore[call-overload]
        time.sleep(4)  # until all have loaded what they need
        for process in processes:
            process.stdin.close()
        seconds.append(max(float(process.stdout.read()) for process in processes))
        for process in processes:
            process.wait()
    return 2 * seconds[0] / seconds[1]


def ultrasound(folder: Path) -> None:
    """Compare jobs on images that are refined, and the bytes that all backends make of some of them."""
    count = 2400
    source = make(folder / "raw", count, "US/thyroid")
    two = ceiling(source / "US" / "thyroid" / "class000")
    print(f"two plain processes that refine the same images do {two:.2f} times the work of one on this machine")
    base = None
    for jobs in (1, 2):
        out = folder / f"jobs-{jobs}"
        _, seconds = timed(lambda out=out, jobs=jobs: clean_collection(source, out, CleanOptions(jobs=jobs)))  # type: ignore[misc]
        base = base or seconds
        print(f"{jobs} jobs: {count / seconds:,.1f} images/s, {base / seconds:.2f} times one job", flush=True)
    results = set()
    for backend, jobs in (("loky", 1), ("loky", 2), ("threading", 2), ("dask", 2)):
        out = folder / f"{backend}-{jobs}"
        clean_collection(source, out, CleanOptions(jobs=jobs, backend=backend, limit=160))
        results.add(digest(out))
    print("identical bytes from loky, threading and Dask:", len(results) == 1)


def digest(out: Path) -> str:
    """Hash names and contents of a refined folder without run.json, which holds times."""
    total = hashlib.sha256()
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.name != "run.json":
            total.update(path.relative_to(out).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def scale(folder: Path) -> None:
    """Compare 20,000 files with 200,000."""
    peaks = {}
    for count in (20_000, 200_000):
        source, out = make(folder / f"raw{count}", count, "CT/chest"), folder / f"out{count}"
        command = [sys.executable, "-c", RUN, str(source), str(out), "2", "loky", "link"]
        started = time.perf_counter()
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        first = time.perf_counter() - started
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        again = time.perf_counter() - started
        peaks[count] = [int(number) for number in told.split()]
        own, workers = peaks[count]
        print(
            f"{count:,} files: {count / first:,.0f}/s, peak {own} MB, largest worker {workers} MB; again {again:.1f} s"
        )
        shutil.rmtree(source)
        shutil.rmtree(out)
    print(f"memory at 200,000 files: {peaks[200_000][0] / peaks[20_000][0]:.2f} times that at 20,000")


def damage(folder: Path) -> None:
    """Clean 2,000 damaged files and look at what became of each."""
    rng = np.random.default_rng(0)
    image = decode_image(pictures(1, "CT")[0])[:96, :96]
    encoded = {}
    for form in ("PNG", "JPEG", "TIFF", "BMP"):
        buffer = io.BytesIO()
        Pillow.fromarray(image).save(buffer, form)
        encoded[form] = buffer.getvalue()
    for index in range(2000):
        form = ("PNG", "JPEG", "TIFF", "BMP")[index % 4]
        place = folder / "raw" / ("US" if index % 8 < 4 else "CT") / "x" / f"{index:04d}.{form.lower()}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(damaged(encoded, form, rng))
    summary, seconds = timed(lambda: clean_collection(folder / "raw", folder / "out", CleanOptions(jobs=2)))
    rows = pd.read_parquet(folder / "out" / "manifest.parquet")
    failures = pd.read_csv(folder / "out" / "failures.csv")
    unreadable = Counter[str]()
    for path, status in zip(rows.path, rows.status, strict=True):
        if status in ("refined", "clean"):
            try:
                decode_image((folder / "out" / "images" / path).read_bytes())
            except ImageError as error:
                unreadable[str(error)] += 1
    print(f"{len(rows):,} rows in {seconds:.1f} s: {summary.counts}, {len(failures):,} with a reason")
    print("written ultrasound that cannot be read:", sum(unreadable.values()), dict(unreadable))


def damaged(encoded: dict[str, bytes], form: str, rng: np.random.Generator) -> bytes:
    """Return an image file with one of six kinds of damage."""
    data = bytearray(encoded[form])
    kind = int(rng.integers(6))
    if kind == 0:  # bit flips
        for place in rng.integers(0, len(data), int(rng.integers(1, 20))):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:  # cut short
        del data[int(rng.integers(len(data))) :]
    elif kind == 2:  # damaged header
        data[: int(rng.integers(4, 64))] = rng.bytes(int(rng.integers(4, 64)))
    elif kind == 3:  # a stretch of zeros
        start = int(rng.integers(len(data)))
        data[start : start + 200] = bytes(min(200, len(data) - start))
    elif kind == 4:  # the head of one format on the body of another
        other = encoded[("PNG", "JPEG", "TIFF", "BMP")[int(rng.integers(4))]]
        data = bytearray(data[: int(rng.integers(8, 40))] + other)
    else:  # something else behind or instead
        data = data + b"PK\x03\x04" + rng.bytes(300) if rng.integers(2) else bytearray(rng.bytes(500))
    return bytes(data)


def kills(folder: Path) -> None:
    """Kill a run at 20 random moments and compare what it comes to."""
    rng = np.random.default_rng(0)
    source, resumed = make(folder / "raw", 300, "US/thyroid"), folder / "resumed"
    make(folder / "raw2", 600, "CT/chest")
    shutil.move(folder / "raw2" / "CT", source / "CT")
    whole, length = timed(lambda: clean_collection(source, folder / "whole", CleanOptions(jobs=2)))
    wanted, moments, equal = digest(folder / "whole"), Counter[str](), []
    while moments.total() < 20:
        kind = ("starting", "working", "working", "working")[moments.total() % 4] if moments.total() < 19 else "ending"
        command = [sys.executable, "-c", RUN, str(source), str(resumed), "2", "loky", "copy"]
        since = time.time()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        _wait_for(kind, resumed, process, since)
        # Twenty such waits come to about the length of the whole run.
        time.sleep({"starting": 1.0, "working": length / 8, "ending": 0.01}[kind] * float(rng.uniform()))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            moments[kind] += 1
        else:  # it was done sooner, so begin anew
            equal.append(digest(resumed) == wanted)
            shutil.rmtree(resumed)
    timed(lambda: clean_collection(source, resumed, CleanOptions(jobs=2)))
    equal.append(digest(resumed) == wanted)
    told = ", ".join(f"{count} while {kind}" for kind, count in moments.items())
    print(f"killed {told}; {len(equal)} runs came to their end; all equal to the uninterrupted one: {all(equal)}")
    print(f"uninterrupted: {whole.counts} in {length:.1f} s")


def _wait_for(kind: str, out: Path, process: subprocess.Popen[bytes], since: float) -> None:
    """Wait until a run that was started at `since` has begun to work, or to write its tables."""
    pattern = {"starting": "*", "working": ".radrefine/tmp/at-*", "ending": ".*.part*"}[kind]
    while kind != "starting" and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            # What an earlier run left behind is older.
            if any(path.stat().st_mtime > since for path in out.glob(pattern)):
                return
        time.sleep(0.002)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measures = {"rates": rates, "ultrasound": ultrasound, "scale": scale, "damage": damage, "kills": kills}
    parser.add_argument("measure", choices=measures)
    with tempfile.TemporaryDirectory() as name:
        measures[parser.parse_args().measure](Path(name))
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
