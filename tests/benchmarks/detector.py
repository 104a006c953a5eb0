"""Measure the mark detectors on real images, and what follows from their masks.

    python tests/benchmarks/detector.py real [--half report] [--weights FILE] [--sheet FILE]
    python tests/benchmarks/detector.py speed
    python tests/benchmarks/detector.py rims [--clean FOLDER]... [--count 300]
    python tests/benchmarks/detector.py completions [--clean FOLDER]... [--count 300] [--seed 0]
    python tests/benchmarks/detector.py flow [--count 120]
    python tests/benchmarks/detector.py colours [--count 300]
    python tests/benchmarks/detector.py shrunk
    python tests/benchmarks/detector.py fills [--count 240] [--found]

The real images are split once, by a hash of their names: thresholds and training were chosen on the half "choose",
figures are reported on the half "report". Four choices were made with an eye on the latter: that what the network is
sure of keeps its rims, without which thin ticks of the full screens were lost, that straight lines are completed, that
letters too large for the network are taken whole, and how much like an arrow a shape must be to be one.
"""

import contextlib
import hashlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, get_args
from unittest import mock

import cv2
import numpy as np
import typer

from radrefine.areas import grown, window
from radrefine.artifacts.colours import to_grey
from radrefine.artifacts.detect import DETECTORS, detect_marks
from radrefine.artifacts.learned import coloured
from radrefine.artifacts.learned.detector import WEIGHTS, MarkDetector, see_marks
from radrefine.bench import Case, composite_cases, folder_cases, refiner, run_bench
from radrefine.bench.leak import draw_pairs, tell_apart, texture_features
from radrefine.bench.scores import hole_fidelity
from radrefine.images import decode_image, encode_png
from radrefine.inpaint import Method, inpaint
from radrefine.marks.clutter import add_flow
from radrefine.records import Image, Mask
from radrefine.refine import RefineOptions, refine_image
from radrefine.texture import STRENGTH, fill_texture
from radrefine.threads import one_thread

MARKED = ("busi_artifact", "ddti_artifact", "screens")
CLEAN = ("busi_clean", "ddti_clean", "hip_clean")
# It lies among the clean images and carries calipers.
MISPLACED = "146_2.png"
# As many as a worker of `radrefine clean` is given at a time.
_TOGETHER = 8

app = typer.Typer(add_completion=False)


@app.callback()
def _measured_on_one_core(context: typer.Context) -> None:
    context.with_resource(one_thread())


def data_folder() -> Path:
    """Return the folder of real images, or end with a message."""
    root = Path(os.environ.get("RADREFINE_SHARED") or Path(__file__).parents[3] / "shared") / "data" / "artifacts"
    if not root.is_dir():
        sys.exit(f"the real images are not at {root}; set RADREFINE_SHARED to the folder that holds data/")
    return root


def half_of(name: str) -> str:
    """Return the half that an image belongs to, by its name alone."""
    return "choose" if hashlib.sha256(name.encode()).digest()[0] % 2 == 0 else "report"


def real_cases(folder: str, half: str) -> Iterator[Case]:
    """Yield one half of the cases of a folder of real images; "all" yields both."""
    root = data_folder()
    ignore = root / f"{folder}_ignore"
    objects = root / f"{folder}_objects.json"
    cases = folder_cases(
        root / folder,
        root / f"{folder}_masks",
        objects if objects.is_file() else None,
        ignore=ignore if ignore.is_dir() else None,
        unmarked=folder in CLEAN,
    )
    known = json.loads(objects.read_text()) if objects.is_file() else {}
    for case in cases:
        if case.name != MISPLACED and half in ("all", half_of(case.name)):
            yield _without_flow(case, [mark for mark in known.get(case.name, []) if mark.get("role") == "flow"])


def _without_flow(case: Case, flow: list[dict]) -> Case:
    """Leave colour flow out of the truth and of the score: one mask holds it, by the data's rules it is no mark."""
    if not flow:
        return case
    boxes = [mark["bbox"] for mark in flow]
    inside = np.zeros_like(case.truth)
    for left, top, right, bottom in boxes:
        inside[top:bottom, left:right] = True
    ignored = inside if case.ignored is None else case.ignored | inside
    places = {(left, top, right - left, bottom - top) for left, top, right, bottom in boxes}
    marks = tuple(box for box in case.boxes if tuple(box[1:]) not in places)
    return replace(case, truth=case.truth & ~inside, boxes=marks, ignored=ignored)


@app.command()
def real(
    half: str = "report",
    weights: str = "",
    detector: Annotated[list[str] | None, typer.Option()] = None,
    sheet: Path | None = None,
) -> None:
    """Print what each detector does on marked and on clean real images."""
    methods = {name: refiner(name, weights) for name in detector or DETECTORS}  # type: ignore[arg-type]
    for folder in (*MARKED, *CLEAN):
        cases = list(real_cases(folder, half))
        for report in run_bench(cases, methods) if cases else ():
            row = report.to_row()
            if folder in CLEAN:
                print(
                    f"{folder:14} {report.method:10} n={len(cases):2} changed {row['clean_changed']:.3f} "
                    f"pixels {row['clean_pixels']:.6f}  {row['ms']:.1f} ms"
                )
            else:
                kinds = " ".join(f"{kind}={share}" for kind, share in row["kinds"].items())
                print(
                    f"{folder:14} {report.method:10} n={len(cases):2} objects {row['objects']:.3f} "
                    f"recall {row['recall_1px']:.3f} precision {row['precision_1px']:.3f} "
                    f"(3px {row['recall_3px']:.3f} {row['precision_3px']:.3f})  {row['ms']:.1f} ms  {kinds}"
                )
    if sheet is not None:
        options = RefineOptions(detector=(detector or ["learned"])[0], weights=weights)  # type: ignore[arg-type]
        write_sheet([case for folder in (*MARKED, *CLEAN) for case in real_cases(folder, half)], options, sheet)


@app.command()
def speed(repeats: int = 3, weights: str = "") -> None:
    """Print the time of an image, decoding and encoding included, over a mix of marked and unmarked ones of 256 px."""
    started = time.perf_counter()
    MarkDetector(Path(weights) if weights else WEIGHTS)
    print(f"loading the weights: {1000 * (time.perf_counter() - started):.1f} ms")
    images = [case.image for folder in ("busi_artifact", "busi_clean") for case in real_cases(folder, "all")]
    pictures = {
        "grey": [encode_png(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in images],
        "colour": [encode_png(image) for image in images],
    }
    for name, coded in pictures.items():
        codec = _median_ms(coded, repeats, lambda image: image)
        print(f"{name:7} codec alone {codec:.2f} ms")
        for detector in DETECTORS:
            options = RefineOptions(detector=detector, weights=weights)  # type: ignore[arg-type]
            taken = _median_ms(coded, repeats, lambda image, options=options: refine_image(image, options).image)
            print(
                f"{name:7} {detector:10} {taken:.2f} ms, {taken / codec:.1f} x codec, {taken - codec:.2f} ms without it"
            )
        taken = _together_ms(coded, repeats, RefineOptions(weights=weights, engine="torch"))
        print(
            f"{name:7} learned, {_TOGETHER} images together by torch {taken:.2f} ms, {taken - codec:.2f} ms without it"
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {memory:,.0f} MiB")


def _together_ms(coded: list[bytes], repeats: int, options: RefineOptions) -> float:
    """Return the time of an image of which the network sees several together, median over such groups."""
    import torch

    torch.set_num_threads(1)
    times = []
    for _ in range(repeats + 1):
        for start in range(0, len(coded) - _TOGETHER + 1, _TOGETHER):
            started = time.process_time()
            images = [decode_image(data) for data in coded[start : start + _TOGETHER]]
            for image, sight in zip(images, see_marks(images, options.weights, options.engine), strict=True):
                encode_png(refine_image(image, options, sight=sight).image)
            times.append((time.process_time() - started) / _TOGETHER)
    return 1000 * float(np.median(times[len(times) // (repeats + 1) :]))


def _median_ms(coded: list[bytes], repeats: int, work: Callable[[Image], Image]) -> float:
    encode_png(work(decode_image(coded[0])))
    times = []
    for data in coded * repeats:
        started = time.process_time()
        encode_png(work(decode_image(data)))
        times.append(time.process_time() - started)
    return 1000 * float(np.median(times))


@app.command()
def rims(clean: Annotated[list[str] | None, typer.Option()] = None, count: int = 300) -> None:
    """Print what deciding anew about the rims of marks changes on composites over clean images, and what it costs."""
    folders = [data_folder() / name for name in _known(clean)]
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / WEIGHTS.name
        plain.write_bytes(WEIGHTS.read_bytes())
        settings = json.loads(WEIGHTS.with_suffix(".json").read_text())
        plain.with_suffix(".json").write_text(json.dumps({**settings, "rims": []}))
        methods = {"rims as drawn": refiner("learned", str(plain)), "decided anew": refiner("learned")}
        cases = composite_cases(folders, count, 0)
        for report in run_bench(cases, methods)[: len(methods)]:
            row = report.to_row()
            print(
                f"{report.method:14} objects {row['objects']:.3f} recall {row['recall_1px']:.3f} "
                f"precision {row['precision_1px']:.3f} PSNR {row['psnr']:.2f} dB  {row['ms']:.1f} ms"
            )


@app.command()
def completions(clean: Annotated[list[str] | None, typer.Option()] = None, count: int = 300, seed: int = 0) -> None:
    """Print what the rules that complete the network's marks change: each left out, and all, on composites and marks.

    The real marks are those of the half "report".
    """
    folders = [data_folder() / name for name in _known(clean)]
    ways = {"all": (), **{f"without {name}": (name,) for name in _COMPLETIONS}, "without any": tuple(_COMPLETIONS)}
    methods = {name: partial(_refine_without, left_out) for name, left_out in ways.items()}
    judged = {"composites": composite_cases(folders, count, seed)}
    judged |= {name: real_cases(name, "report") for name in MARKED}
    for title, cases in judged.items():
        for report in run_bench(cases, methods)[: len(methods)]:
            row = report.to_row()
            print(
                f"{title:14} {report.method:22} objects {row['objects']:.3f} recall {row['recall_1px']:.3f} "
                f"precision {row['precision_1px']:.3f} arrows {row['kinds'].get('arrow')}  {row['ms']:.1f} ms"
            )


def _without_arrows(image: Image, logits: np.ndarray, least: float) -> tuple[np.ndarray, Mask]:
    return logits, np.zeros(logits.shape, bool)


def _without_strokes(image: Image, logits: np.ndarray, least: float) -> np.ndarray:
    return logits


def _thick_of_any_colour(ink: Mask, colour: np.ndarray, thick: Callable[..., Mask] = coloured._thick) -> Mask:
    return thick(ink, np.full_like(colour, 255))


_COMPLETIONS = {
    "arrows": ("detector.complete_arrows", _without_arrows),
    "large letters": ("detector.complete_strokes", _without_strokes),
    "thick pale ink": ("coloured._thick", _thick_of_any_colour),
}


def _refine_without(left_out: tuple[str, ...], image: Image) -> tuple[Mask, Image]:
    with contextlib.ExitStack() as patches:
        for name in left_out:
            function, stand_in = _COMPLETIONS[name]
            patches.enter_context(mock.patch(f"radrefine.artifacts.learned.{function}", stand_in))
        refined = refine_image(image)
    return refined.mask, refined.image


def _known(clean: list[str] | None) -> list[str]:
    """Return the folders of clean images to use, or end with a message."""
    unknown = [name for name in clean or () if name not in CLEAN]
    if unknown:
        sys.exit(f"--clean must be one of {', '.join(CLEAN)}, got {unknown[0]}")
    return clean or list(CLEAN)


@app.command()
def flow(count: int = 120) -> None:
    """Print how much of the colour flow drawn over clean images each detector takes for marks."""
    clean = [case.image for folder in CLEAN for case in real_cases(folder, "all")]
    for detector in DETECTORS:
        remover = refiner(detector, "")
        taken = drawn = touched = 0
        for number in range(count):
            plain = clean[number % len(clean)]
            plain = plain if plain.ndim == 3 else np.repeat(plain[..., None], 3, axis=2)
            flowing = add_flow(plain, np.random.default_rng([number]))
            vessel = (flowing != plain).any(axis=2)
            wrong = remover(flowing)[0] & vessel & ~remover(plain)[0]
            taken, drawn, touched = taken + int(wrong.sum()), drawn + int(vessel.sum()), touched + int(wrong.any())
        print(f"{detector:10} takes {taken / drawn:.4f} of the flow, some of it in {touched} of {count} pictures")


@app.command()
def colours(count: int = 300) -> None:
    """Print how many pixels of grey tissue are left with a colour where coloured marks were, coded or not."""
    marked = true = ours = pictures = 0
    for case in composite_cases([data_folder() / name for name in CLEAN], count, 0):
        if case.image.ndim == 2 or case.clean is None or not (drawn := _tinted(case.image, case.clean)):
            continue
        pictures += 1
        marked += drawn
        true += _tinted(inpaint(case.image, case.truth), case.clean)
        ours += _tinted(refine_image(case.image).image, case.clean)
    print(f"{pictures} of {count} pictures with coloured marks: {marked} pixels have a colour that they had not")
    print(f"true masks filled, {true / marked:.3f} of them are left; cleaned, {ours / marked:.3f}")


@app.command()
def shrunk() -> None:
    """Print how much of clean images each detector takes for marks when they are shrunk to thumbnails."""
    clean = [case.image for folder in CLEAN for case in real_cases(folder, "all")]
    least = RefineOptions().min_score
    for side in (24, 32, 48, 64, 96, 128):
        told = []
        for detector in ("learned", "classical"):
            shares = []
            for image in clean:
                factor = side / min(image.shape[:2])
                size = (max(side, round(image.shape[1] * factor)), max(side, round(image.shape[0] * factor)))
                small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
                taken = np.zeros(small.shape[:2], bool)
                found = detect_marks(small, detector)
                for mark in found.findings:
                    if mark.score >= least:
                        box = window((mark.x, mark.y, mark.width, mark.height), 0)
                        taken[box] |= found.masks[mark.kind][box]
                shares.append(float(taken.mean()))
            told.append(f"{detector} {np.mean(shares):.3f} of the pixels, {np.max(shares):.2f} at most")
        print(f"{side:3} px: {'; '.join(told)}")


def _tinted(image: Image, clean: Image) -> int:
    """Count the pixels whose channels differ by 16 or more while those of the clean picture do not."""
    return int(((np.ptp(image, axis=2) >= 16) & (np.ptp(clean, axis=2) < 16)).sum())


@app.command()
def fills(count: int = 240, *, found: bool = False) -> None:
    """Print how true fills are, how well a classifier tells filled pictures from untouched ones, and what they cost.

    The true marks are filled, or with --found what the default detector finds. PSNR and SSIM are those inside the true
    marks. The classifier is that of `radrefine bench --leak`, trained on half of the backgrounds.
    """
    clean = [to_grey(case.image) for folder in CLEAN for case in real_cases(folder, "all")]
    ways: dict[str, Callable[[Image, Mask], Image]] = {}
    for strength in (0.0, STRENGTH, 1.0):
        ways[f"texture, speckle of strength {strength:g}"] = partial(fill_texture, strength=strength)
    ways["biharmonic"] = partial(inpaint, method="biharmonic")
    for radius in (2, 3, 5, 8):
        ways[f"telea, radius {radius}"] = partial(inpaint, method="telea", radius=radius)
    for radius in (1, 3, 5):
        ways[f"navier-stokes, radius {radius}"] = partial(inpaint, method="navier-stokes", radius=radius)
    for method in get_args(Method):
        ways[f"{method}, mask grown by 1 px"] = partial(_grown_fill, method=method)
    features: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for pair in draw_pairs(clean, count):
        untouched = texture_features(pair.clean)
        hole = refine_image(pair.image).mask if found else pair.mask
        for name, fill in ways.items():
            started = time.process_time()
            filled = fill(pair.image, hole)
            seconds[name] += time.process_time() - started
            features[name] += [texture_features(filled), untouched]
            scores[name].append(hole_fidelity(filled, pair.clean, pair.mask))
    for name in ways:
        psnr, ssim = np.mean(scores[name], axis=0)
        told = tell_apart(np.stack(features[name]), len(clean)).value
        cost = 1000 * seconds[name] / count
        print(
            f"{name:34} PSNR {psnr:.2f} dB, SSIM {ssim:.3f}, told from untouched {told:.3f}, {cost:.1f} ms", flush=True
        )


def _grown_fill(image: Image, mask: Mask, method: Method) -> Image:
    return inpaint(image, grown(mask, 1), method=method)


def write_sheet(cases: list[Case], options: RefineOptions, path: Path, side: int = 256, columns: int = 6) -> None:
    """Draw every case: found right in green, found wrong in red, missed in blue, left out in grey."""
    tiles = []
    for case in cases:
        mask = refine_image(case.image, options).mask
        image = case.image if case.image.ndim == 3 else np.repeat(case.image[..., None], 3, axis=2)
        shown = image[..., ::-1].copy() // 2
        near = grown(case.truth, 1)
        shown[mask & near] = (80, 230, 80)
        shown[mask & ~near] = (60, 60, 255)
        shown[case.truth & ~grown(mask, 1)] = (255, 120, 40)
        if case.ignored is not None:
            shown[case.ignored] = shown[case.ignored] // 2 + 60
        scale = side / max(shown.shape[:2])
        small = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.zeros((side + 14, side, 3), np.uint8)
        tile[14 : 14 + small.shape[0], : small.shape[1]] = small
        cv2.putText(tile, case.name, (2, 10), cv2.FONT_HERSHEY_PLAIN, 0.8, (255, 255, 255))
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    cv2.imwrite(str(path), np.vstack(rows))


if __name__ == "__main__":
    app()
