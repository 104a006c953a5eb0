"""The memory at hand is that of the machine within the limits of the control groups."""

from pathlib import Path

import pytest

from pgnm.data.memory import available_memory, available_shared

MACHINE = "MemTotal:       64000000 kB\nMemAvailable:   32000000 kB\n"


def fake(root: Path, files: dict[str, str]) -> Path:
    for name, content in {"proc/meminfo": MACHINE, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def group(folder: str, limit: str, used: int, cached: int) -> dict[str, str]:
    return {
        f"sys/fs/cgroup/{folder}/memory.max": f"{limit}\n",
        f"sys/fs/cgroup/{folder}/memory.current": f"{used}\n",
        f"sys/fs/cgroup/{folder}/memory.stat": f"anon 5\nfile {cached}\n",
    }


def test_without_groups_the_machine_tells(tmp_path: Path) -> None:
    assert available_memory(fake(tmp_path, {})) == 32_000_000 * 1024


@pytest.mark.parametrize(("limit", "room"), [("max", 32_000_000 * 1024), ("9000", 9000 - 4000 + 1500)])
def test_the_group_of_the_job_bounds_it(tmp_path: Path, limit: str, room: int) -> None:
    files = {"proc/self/cgroup": "0::/slurm/job_7/step_0\n"} | group("slurm/job_7", limit, 4000, 1500)
    assert available_memory(fake(tmp_path, files | group("slurm/job_7/step_0", "max", 4000, 1500))) == room


def test_inside_a_container_the_group_lies_at_the_top(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/../../outside\n"} | group("", "5000", 6000, 500)
    assert available_memory(fake(tmp_path, files)) == 0


def test_groups_of_the_first_version_are_read(tmp_path: Path) -> None:
    place = "sys/fs/cgroup/memory/docker/abc"
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n",
        f"{place}/memory.limit_in_bytes": "7000\n",
        f"{place}/memory.usage_in_bytes": "2000\n",
        f"{place}/memory.stat": "cache 1\ntotal_cache 300\n",
    }
    assert available_memory(fake(tmp_path, files)) == 7000 - 2000 + 300


def test_where_nothing_is_told_a_small_machine_is_assumed(tmp_path: Path) -> None:
    assert available_memory(tmp_path) == 4 * 2**30
    assert available_shared(tmp_path / "none") is None
    assert (available_shared(tmp_path) or 0) > 0
