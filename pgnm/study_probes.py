"""Probe what a study has trained on unseen concepts: table 3 and figure 5 for its arms."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pgnm.arms import Arm
from pgnm.concepts import ConceptSet
from pgnm.features import Backbone, load_backbones
from pgnm.probe_report import write_probe
from pgnm.probes import ProbeOptions, probe
from pgnm.progress import ProgressCallback, ignore_progress
from pgnm.study import run_folder


def probe_arms(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    sets: Sequence[ConceptSet],
    out: Path,
    options: ProbeOptions | None = None,
    backbones: Sequence[str] = (),
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Probe the last model of every arm with every seed, and write the protocol's files into `out/probes/<protocol>/`.

    Features are kept in `out/probes/features/`; only what is new there is computed.

    Args:
        arms: The arms of the study, trained.
        seeds: The seeds of the study; each also seeds the draws and initial weights of its own probes.
        sets: Sets of unseen concepts.
        out: Folder of the study.
        options: Protocol and its settings; their seed is replaced.
        backbones: Others to show beside the arms, see `features.load_backbones`; probed with the first seed.
        progress: Hears of features and trials.

    Returns:
        A row per trial, as from `probes.probe`, with the column `seed`; `backbone` is the name of the arm.
    """
    options = options or ProbeOptions()
    tables: list[pd.DataFrame] = []
    probed: list[Backbone] = []
    for seed in seeds:
        places = [f"{arm.name}={run_folder(arm, seed, out) / arm.stages()[-1][0]}" for arm in arms]
        networks = load_backbones([*places, *(backbones if seed == seeds[0] else ())], seed=seed)
        seeded = replace(options, seed=seed)
        tables.append(probe(networks, sets, out / "probes" / "features", seeded, progress).assign(seed=seed))
        probed += networks
    results = pd.concat(tables, ignore_index=True)
    write_probe(results, probed, sets, options, out / "probes" / options.protocol)
    return results
