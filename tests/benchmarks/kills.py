"""Kill -9 a pretraining run at random moments, go on each time, and compare with a run that was left alone.

python tests/benchmarks/kills.py [--kills 10] [--seed 0]

Every kill is verified to have hit a process in the middle of its steps: it had made some since it started, was alive,
and ended by the signal. The state is saved every fifth step, so most kills undo some steps. Ends with exit code 1 where
the weights of classifier and policy, or a number of the log, differ in any bit.
"""

import argparse
import json
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from pgnm.checkpoints import load_state
from pgnm.config import Recipe
from pgnm.pretrain import pretrain
from pgnm.progress import Progress

IMAGES, CLASSES = 48, 3
RECIPE = Recipe(
    model="test_resnet", policy_model="test_resnet", size=32, grid=4, kernel=3, sigma=0.5, epochs=40, batch_size=8,
    lr=0.002, workers=0, device="cpu", precision="fp32", save_every=5, keep="last", ema=0.9,
)  # fmt: skip


def write_split(folder: Path) -> Path:
    """Write random grey images and a split folder of them, a third of which serves for validation."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(IMAGES + IMAGES // 3):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (32, 32)).astype(np.uint8))
        rows.append((f"{number}.png", f"c{number % CLASSES}", number % CLASSES, f"g{number}"))
    frame = pd.DataFrame(rows, columns=["path", "label", "class_index", "group"])
    for part, share in (("train", frame[:IMAGES]), ("val", frame[IMAGES:]), ("test", frame[:0])):
        share.to_csv(folder / f"{part}.csv", index=False)
    classes = pd.DataFrame({"class_index": range(CLASSES), "label": [f"c{i}" for i in range(CLASSES)]})
    classes.to_csv(folder / "classes.csv", index=False)
    (folder / "split.json").write_text(json.dumps({"schema": 1, "root": ".", "proof": {}}))
    return folder


def run(split: Path, out: Path, steps: Any) -> None:
    """Pretrain, going on where a state is, and count the steps of this process in shared memory."""
    torch.set_num_threads(1)

    def notice(progress: Progress) -> None:
        if progress.stage.startswith("epoch"):
            steps.value += 1

    pretrain(split, out, RECIPE, progress=notice)


def kill_once(context: Any, split: Path, out: Path, chance: random.Random) -> bool:
    """Start or go on, kill after a random number of steps and a random time; tell whether a running process was hit."""
    steps = context.Value("l", 0)
    process = context.Process(target=run, args=(split, out, steps))
    process.start()
    wanted = chance.randint(2, 20)
    while process.is_alive() and steps.value < wanted:
        time.sleep(0.002)
    time.sleep(0.05 * chance.random())
    process.kill()
    process.join()
    state = load_state(out)
    saved = state["position"]["step"] if state else 0
    hit = process.exitcode == -signal.SIGKILL and steps.value >= wanted
    print(
        f"  killed after {steps.value:3} steps of its own; saved is step {saved:3}; a running process: {hit}",
        flush=True,
    )
    return bool(hit)


def equal(one: Path, other: Path) -> bool:
    """Tell whether two runs have the same weights and logged numbers, bit for bit."""
    for file in ("model.safetensors", "policy.safetensors"):
        first, second = load_file(one / file), load_file(other / file)
        if first.keys() != second.keys() or not all(torch.equal(first[name], second[name]) for name in first):
            return False
    tables = [pd.read_csv(run / "metrics.csv").drop(columns=["seconds", "images_per_second"]) for run in (one, other)]
    return tables[0].equals(tables[1])


def main() -> None:
    """Kill, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    options = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pgnm.pretrain"])  # torch is imported once
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        split, whole, killed = Path(name), Path(name) / "whole", Path(name) / "killed"
        write_split(split)
        hits = sum(kill_once(context, split, killed, chance) for _ in range(options.kills))
        for out in (killed, whole):
            steps = context.Value("l", 0)
            process = context.Process(target=run, args=(split, out, steps))
            process.start()
            process.join()
        same = equal(whole, killed)
    print(f"{hits} of {options.kills} kills hit a running process; weights and log equal an unkilled run's: {same}")
    sys.exit(0 if same and hits == options.kills else 1)


if __name__ == "__main__":
    main()
