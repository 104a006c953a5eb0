"""How much memory this process may still take."""

import shutil
from collections.abc import Iterator
from pathlib import Path

_UNKNOWN = 4 * 2**30  # of a small laptop
_SHARED = Path("/dev/shm")


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes that can be taken without swapping or being killed: those free, within the group's limit.

    Clusters and containers limit a job to a part of the machine (cgroups, version 1 and 2), which `/proc/meminfo` does
    not tell.

    Args:
        root: Where `proc` and `sys` are.
    """
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):  # not Linux
        return _UNKNOWN
    return max(0, min([free, *_group_rooms(root)]))


def available_shared(folder: Path = _SHARED) -> int | None:
    """Return the bytes that processes can still share, None where that has no limit of its own.

    Containers often give 64 MB.
    """
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _group_rooms(root: Path) -> Iterator[int]:
    """Yield what the control group of this process, and each above it, has left."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "file")
        elif "memory" in controllers.split(","):
            top, names = (
                root / "sys/fs/cgroup/memory",
                ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
            )
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        # Inside a container the path may be that outside it; what is not there is passed over.
        for depth in range(len(parts) + 1):
            room = _room(top.joinpath(*parts[:depth]), *names)
            if room is not None:
                yield room


def _room(group: Path, limit: str, used: str, cache: str) -> int | None:
    try:
        bound, taken = (int((group / name).read_text(encoding="ascii")) for name in (limit, used))
        told = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):  # no limit is the word max, or no file
        return None
    return bound - taken + int(told.get(cache, 0))  # what is cached of files gives way
