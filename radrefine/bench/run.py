"""Run removers over cases and sum up."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from radrefine.bench.baselines import Remover
from radrefine.bench.cases import Box, Case
from radrefine.bench.scores import CONTRASTS, ObjectCounts, PixelCounts, hole_fidelity, mark_contrast
from radrefine.images import decode_image, encode_png
from radrefine.inpaint import Method, inpaint
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.threads import one_thread

TOLERANCES = (1, 3)
"""Distances in px within which a found pixel and a true one agree."""


@dataclass(slots=True)
class BenchReport:
    """What one remover did.

    Attributes:
        method: Name of the remover.
        pixels: Counts per tolerance.
        objects: Marks by kind.
        contrasts: Marks by how far they stand out, of images whose clean version is known.
        fills: PSNR and SSIM in the true holes, per image whose clean version is known.
        marked: Images with marks.
        unmarked: Images without.
        damaged: Of the unmarked ones, those in which a pixel was replaced.
        damaged_pixels: Share of the pixels of unmarked images that were replaced.
        seconds: Processor time for decoding, removing and encoding, per image.
        codec_seconds: The same for decoding and encoding alone.
    """

    method: str
    pixels: dict[int, PixelCounts] = field(default_factory=lambda: {step: PixelCounts() for step in TOLERANCES})
    objects: ObjectCounts = field(default_factory=ObjectCounts)
    contrasts: ObjectCounts = field(default_factory=ObjectCounts)
    fills: list[tuple[float, float]] = field(default_factory=list)
    marked: int = 0
    unmarked: int = 0
    damaged: int = 0
    damaged_pixels: float = 0.0
    seconds: list[float] = field(default_factory=list)
    codec_seconds: list[float] = field(default_factory=list)

    def to_row(self) -> dict[str, Any]:
        """Return the figures by name; what was not measured is None."""
        finite = [psnr for psnr, _ in self.fills if math.isfinite(psnr)]
        row: dict[str, Any] = {"method": self.method, "objects": _rounded(self.objects.share())}
        for tolerance, counts in self.pixels.items():
            row |= {
                f"recall_{tolerance}px": _rounded(counts.recall if self.marked else math.nan),
                f"precision_{tolerance}px": _rounded(counts.precision if self.marked else math.nan),
                f"f1_{tolerance}px": _rounded(counts.f1 if self.marked else math.nan),
            }
        return row | {
            "psnr": _rounded(float(np.mean(finite)) if finite else math.nan),
            "ssim": _rounded(float(np.mean([ssim for _, ssim in self.fills])) if self.fills else math.nan),
            "clean_changed": _rounded(self.damaged / self.unmarked if self.unmarked else math.nan),
            "clean_pixels": _rounded(self.damaged_pixels / self.unmarked if self.unmarked else math.nan, 6),
            "ms": _rounded(1000 * float(np.median(self.seconds)) if self.seconds else math.nan),
            "codec_ratio": _rounded(sum(self.seconds) / sum(self.codec_seconds) if self.seconds else math.nan),
            "kinds": {kind: _rounded(self.objects.share(kind)) for kind in sorted(self.objects.true)},
            "contrasts": {
                band: _rounded(self.contrasts.share(band)) for band in CONTRASTS if band in self.contrasts.true
            },
            "marks": self.objects.true | self.contrasts.true,
        }


@one_thread()
def run_bench(
    cases: Iterable[Case],
    methods: dict[str, Remover],
    *,
    total: int | None = None,
    progress: ProgressCallback = ignore_progress,
) -> list[BenchReport]:
    """Run every remover on every case, and the fill on the true masks.

    Args:
        cases: Images with truth.
        methods: Removers by name.
        total: Number of cases, for the progress.
        progress: Called after every case.

    Returns:
        One report per remover, and one per fill (`oracle mask, <fill>`) where the clean images are known.
    """
    reports = {name: BenchReport(name) for name in methods}
    oracles = {name: BenchReport(f"oracle mask, {name}") for name in get_args(Method)}
    for done, case in enumerate(cases, start=1):
        by_contrast = _by_contrast(case)
        for name, remover in methods.items():
            _judge(case, by_contrast, remover, reports[name])
        if case.clean is not None and case.truth.any():
            for name, report in oracles.items():
                report.fills.append(hole_fidelity(inpaint(case.image, case.truth, method=name), case.clean, case.truth))
        progress(Progress("bench", done, total))
    return [*reports.values(), *(report for report in oracles.values() if report.fills)]


def _by_contrast(case: Case) -> list[Box]:
    """Return the marks with their contrast in place of their kind; none where nobody knows what lies under them."""
    if case.clean is None:
        return []
    places = [box[1:] for box in case.boxes]
    seen = [(x, y, w, h) for x, y, w, h in places if case.truth[y : y + h, x : x + w].any()]
    return [(mark_contrast(case.image, case.clean, case.truth, place), *place) for place in seen]


def _judge(case: Case, by_contrast: list[Box], remover: Remover, report: BenchReport) -> None:
    data = encode_png(case.image)
    # Processor time, not the clock: other programs on the machine must not change the ratio.
    started = time.process_time()
    encode_png(decode_image(data))
    between = time.process_time()
    mask, filled = remover(decode_image(data))
    encode_png(filled)
    report.codec_seconds.append(between - started)
    report.seconds.append(time.process_time() - between)
    if not case.truth.any():
        harmed = mask if case.ignored is None else mask & ~case.ignored
        report.unmarked += 1
        report.damaged += int(harmed.any())
        report.damaged_pixels += float(harmed.mean())
        return
    report.marked += 1
    for tolerance, counts in report.pixels.items():
        counts.add(mask, case.truth, tolerance, case.ignored)
    counted = case.truth if case.ignored is None else case.truth & ~case.ignored
    report.objects.add(mask, counted, case.boxes)
    if case.clean is not None:
        report.contrasts.add(mask, case.truth, by_contrast)
        report.fills.append(hole_fidelity(filled, case.clean, case.truth))


def _rounded(value: float, digits: int = 3) -> float | None:
    return None if math.isnan(value) else round(value, digits)
