"""How to publish a split folder, and what came of it."""

from dataclasses import dataclass, field

from radrefine.errors import UsageError
from radrefine.hub.shards import DEFAULT_SHARD_SIZE, parse_size


@dataclass(frozen=True)
class PushOptions:
    """How to publish a split folder.

    Attributes:
        repo_id: USER/NAME.
        with_images: Publish the images too.
        license: Name of the licence; needed with images.
        public: Make the repository public; private otherwise.
        revision: Branch to push to, made where it is missing; None for main.
        max_shard_size: Largest Parquet file, such as 500MB.
    """

    repo_id: str
    with_images: bool = False
    license: str | None = None
    public: bool = False
    revision: str | None = None
    max_shard_size: str = DEFAULT_SHARD_SIZE

    def __post_init__(self) -> None:
        if self.with_images and not self.license:
            raise UsageError(
                "--with-images needs --license: images may only be passed on where their owner allows it; name the "
                "licence that does, such as --license cc-by-4.0, or publish masks and tables only"
            )
        parse_size(self.max_shard_size)


@dataclass(frozen=True)
class PushSummary:
    """What was published, or would be.

    Attributes:
        url: Page of the repository.
        files: (path, bytes) of everything the repository should hold; bytes of shards to be made are without overhead.
        commits: Commits made, or at most needed.
        uploaded: Paths of large files uploaded by this run.
        present: Paths of large files that were there already.
        left_over: Paths of image shards of an earlier push that this one does not replace.
        shared: What the split's proof counts as shared between splits, without the zeros.
    """

    url: str
    files: list[tuple[str, int]]
    commits: int
    uploaded: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    shared: dict[str, int] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files)
