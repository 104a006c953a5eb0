"""What the stand-in keeps: repositories, branches, commits, and file contents by SHA-256."""

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The Hub turns away commits that put more entries than this into one folder.
MAX_ENTRIES_PER_FOLDER = 10_000


class Refusal(Exception):
    """An answer other than success: status, error code of the Hub, message."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True)
class Entry:
    """A file of a commit."""

    size: int
    sha256: str
    lfs: bool
    git_oid: str

    def info(self, path: str) -> dict[str, Any]:
        """Describe the file as the Hub's `tree` and `paths-info` do."""
        info: dict[str, Any] = {"type": "file", "path": path, "size": self.size, "oid": self.git_oid}
        if self.lfs:
            info["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return info


@dataclass
class Repo:
    """A repository: branches point at commits, a commit is a whole tree."""

    kind: str
    name: str
    private: bool
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Entry]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    waiting: dict[str, Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit("main", {}, "initial commit")

    def commit(self, branch: str, tree: dict[str, Entry], message: str) -> str:
        """Add a commit and move the branch to it."""
        text = f"{self.kind} {self.name} {branch} {len(self.commits)} {message} {sorted(tree)}"
        commit = hashlib.sha1(text.encode()).hexdigest()
        self.commits[commit] = tree
        self.branches[branch] = commit
        self.messages.append(message)
        return commit

    def resolve(self, revision: str) -> str:
        """Name the commit of a branch, or the commit itself."""
        commit = self.branches.get(revision, revision)
        if commit not in self.commits:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def tree(self, revision: str) -> dict[str, Entry]:
        """Files at a revision by path."""
        return self.commits[self.resolve(revision)]


class Storage:
    """Repositories in memory and contents on disk, so that large uploads take no memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lock = threading.RLock()
        (root / "objects").mkdir(parents=True, exist_ok=True)

    def object_path(self, sha256: str) -> Path:
        """Where the content with this hash lies."""
        return self.root / "objects" / sha256

    def add_bytes(self, data: bytes) -> str:
        """Keep `data` and return its hash."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.object_path(sha256).write_bytes(data)
        return sha256

    def read(self, kind: str, name: str, path: str, revision: str = "main") -> bytes:
        """Content of a file of a repository."""
        return self.object_path(self.repos[kind, name].tree(revision)[path].sha256).read_bytes()

    def create(self, kind: str, name: str, *, private: bool) -> Repo:
        """Make a repository."""
        with self.lock:
            if (kind, name) in self.repos:
                raise Refusal(409, f"You already created this {kind} repo")
            repo = self.repos[kind, name] = Repo(kind, name, private)
            return repo

    def apply(self, repo: Repo, revision: str, operations: list[dict[str, Any]]) -> str:
        """Commit the lines of a commit request; all or nothing."""
        with self.lock:
            tree = dict(repo.tree(revision))
            if revision not in repo.branches:
                raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
            summary = ""
            for operation in operations:
                key, value = operation["key"], operation["value"]
                if key == "header":
                    summary = value["summary"]
                elif key == "file":
                    tree[value["path"]] = self._inline(value["content"])
                elif key == "lfsFile":
                    tree[value["path"]] = self._large(value["oid"])
                elif key == "deletedFile":
                    if tree.pop(value["path"], None) is None:
                        raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
                else:
                    raise Refusal(400, f"unknown operation {key}")
            check_folders(tree)
            return repo.commit(revision, tree, summary)

    def _inline(self, content: str) -> Entry:
        import base64

        data = base64.b64decode(content)
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return Entry(len(data), self.add_bytes(data), False, git)

    def _large(self, sha256: str) -> Entry:
        place = self.object_path(sha256)
        if not place.is_file():
            raise Refusal(400, f"the LFS object {sha256} was never uploaded")
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {place.stat().st_size}\n"
        git = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer.encode()).hexdigest()
        return Entry(place.stat().st_size, sha256, True, git)


def check_folders(tree: dict[str, Entry]) -> None:
    """Refuse a tree with too many entries in one folder, as the Hub does."""
    children: dict[str, set[str]] = {}
    for path in tree:
        parts = path.split("/")
        for depth in range(len(parts)):
            children.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
    for folder, names in children.items():
        if len(names) > MAX_ENTRIES_PER_FOLDER:
            raise Refusal(400, f"the folder '{folder}' would hold {len(names)} entries, more than 10000")
