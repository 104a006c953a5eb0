"""Words for what messages and pages say often."""


def counted(count: int, one: str, several: str | None = None) -> str:
    """Return a number with what it counts: "1 file", "2 files"."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"
