"""Measure the removal of marks against known truth."""

from radrefine.bench.baselines import BASELINES, refiner
from radrefine.bench.cases import Case, composite_cases, folder_cases
from radrefine.bench.run import BenchReport, run_bench

__all__ = ["BASELINES", "BenchReport", "Case", "composite_cases", "folder_cases", "refiner", "run_bench"]
