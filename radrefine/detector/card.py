"""Write a trained detector as the files that `radrefine.artifacts.learned` reads, with a card that says what it is."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from radrefine.artifacts.learned.detector import MAGNIFY, MAX_SIDE, MarkDetector
from radrefine.artifacts.learned.network import MarkNetwork, count_parameters
from radrefine.artifacts.learned.verdict import DetectorSettings
from radrefine.detector.calibration import Figures, calibrate, fit_rims, measure
from radrefine.detector.export import check_export, to_onnx
from radrefine.detector.options import TrainOptions
from radrefine.detector.state import DETECTOR_FILES
from radrefine.detector.training import TrainedDetector
from radrefine.files import write_bytes, write_json, write_text
from radrefine.marks import DRAWN_KINDS

WEIGHTS_NAME, _, CARD_NAME, BACKGROUNDS_NAME = DETECTOR_FILES


def write_detector(
    trained: TrainedDetector, out: Path, options: TrainOptions, *, pictures: int = 240, threshold: float | None = None
) -> Figures:
    """Write weights, settings, card and the names of the backgrounds into `out`.

    Args:
        trained: The network and its backgrounds.
        out: Folder to write `mark_detector.onnx`, `mark_detector.json`, `card.md` and `backgrounds.csv` into.
        options: What it was trained with.
        pictures: Composites for the calibration, and as many others for the figures of the card.
        threshold: Probability from which a pixel belongs to a mark; None chooses it on the composites.

    Returns:
        What it reaches on unseen composites.

    Raises:
        RadrefineError: OpenCV does not repeat torch's numbers.
    """
    weights = to_onnx(trained.network, {"kinds": ",".join(DRAWN_KINDS)})
    difference = check_export(trained.network, weights)
    path = out / WEIGHTS_NAME
    write_bytes(path, weights)
    write_json(path.with_suffix(".json"), asdict(DetectorSettings(DRAWN_KINDS, 0.5, (0.0, 1.0, 0.0, 0.0))))
    unseen = trained.validation if trained.validation.pictures else trained.training
    detector = MarkDetector(path)
    detector.settings = calibrate(detector, unseen, count=pictures, seed=options.seed, threshold=threshold)
    detector.rims = fit_rims(detector, trained.training, count=2 * pictures, seed=options.seed)
    chosen = detector.settings.threshold
    settings = calibrate(detector, unseen, count=pictures, seed=options.seed, threshold=chosen)
    rims = [] if detector.rims is None else detector.rims.to_plain()
    known = {**asdict(settings), "rims": rims, "steps": trained.earlier_steps + trained.steps}
    write_json(path.with_suffix(".json"), known)
    figures = measure(MarkDetector(path), unseen, count=pictures, seed=options.seed)
    write_text(out / BACKGROUNDS_NAME, _names(trained))
    write_text(
        out / CARD_NAME,
        detector_card(trained, options, settings, figures, len(weights), difference, given=threshold is not None),
    )
    return figures


def _names(trained: TrainedDetector) -> str:
    """Return a row per real background: which folder and file, and for what it was used."""
    rows = [(name, "training") for name in trained.training.names]
    rows += [(name, "validation") for name in trained.validation.names]
    return pd.DataFrame(sorted(rows), columns=["picture", "used_for"]).to_csv(index=False)


def detector_card(
    trained: TrainedDetector,
    options: TrainOptions,
    settings: DetectorSettings,
    figures: Figures,
    size: int,
    difference: float,
    *,
    given: bool = False,
) -> str:
    """Return the card in Markdown.

    Args:
        trained: The network and its backgrounds.
        options: What it was trained with.
        settings: Threshold and score.
        figures: What it reaches.
        size: Bytes of the weights.
        difference: Largest difference between the logits of torch and of OpenCV.
        given: Whether the threshold was given and not chosen on composites.
    """
    chosen = "as given to the training command" if given else "chosen on composites"
    sources = "\n".join(f"- {name}: {count:,} pictures" for name, count in trained.training.sources)
    credits = "".join(f"\n{line}\n" for line in options.credit)
    earlier = trained.earlier_steps
    started = "It started from finished weights. " if options.start else ""
    if earlier:
        started = f"It started from the weights of earlier trainings of {earlier:,} batches. "
    left_out = f"\nLeft out on purpose: {', '.join(options.leave_out)}.\n" if options.leave_out else ""
    kinds = "\n".join(f"| {kind} | {share:.3f} |" for kind, share in figures.kinds.items())
    network: MarkNetwork = trained.network
    return f"""# Mark detector

Finds marks that were burned into ultrasound pictures: {", ".join(DRAWN_KINDS).replace("_", " ")}.
A U-Net on 2 x 2 blocks of pixels with {count_parameters(network):,} parameters ({size / 1000:,.0f} kB as ONNX), run by
OpenCV, which repeats torch's logits to {difference:.0e}. A pixel belongs to a mark from a probability of
{settings.threshold}, {chosen}; along the rims of what it finds, a perceptron fitted to composites over the training
backgrounds decides anew. The score of a mark is fitted to how often such marks are right.
It sees small pictures magnified {MAGNIFY:g} times, those of more than {MAX_SIDE:,} px along a side reduced to that.

## Trained on

Composites of drawn marks, made on the fly, over these clean pictures; one in six of them was kept for validation:

{sources}

`{BACKGROUNDS_NAME}` names the pictures.
{credits}{left_out}
{started}{trained.steps:,} batches of {options.batch_size} pictures of {options.size} px, seed {options.seed}, in \
{trained.minutes:.0f} minutes. No picture with real marks was trained on.

## Figures

On {figures.pictures:,} composites over the pictures kept for validation, marks scored 0.5 or more, tolerance 1 px:

| measure | value |
|---|---|
| pixel recall | {figures.recall:.3f} |
| pixel precision | {figures.precision:.3f} |
| marks at least half covered | {figures.objects:.3f} |
| kind right, where a mark was found | {figures.kinds_right:.3f} |
| unmarked pictures changed | {figures.clean_changed:.3f} |

| kind | marks at least half covered |
|---|---|
{kinds}

`radrefine bench --detector learned` measures it on other pictures.

## Limits

- Trained on drawn marks: symbols, fonts and screens unlike the drawn ones are missed more often.
- Thin bright echoes in tissue can be taken for marks; look at the masks before you rely on them.
- Not a medical device, and no de-identification: text can be left over.
"""
