"""The connection to one repository on the Hub: every request is tried again as the Hub asks."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from radrefine.errors import HubError, UsageError
from radrefine.hub.patience import patiently, require_hub

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


def check_repo_id(repo_id: str) -> None:
    """Raise `UsageError` unless `repo_id` reads USER/NAME and is a name that the Hub takes."""
    hub = require_hub()
    if repo_id.count("/") != 1:
        raise UsageError(
            f"--repo-id must read USER/NAME, got '{repo_id}'; put your user or organisation before the name"
        )
    try:
        hub.utils.validate_repo_id(repo_id)
    except ValueError as error:
        raise UsageError(f"--repo-id '{repo_id}' is not a name the Hub takes: {error}") from None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in the repository.

    Attributes:
        size: Bytes.
        sha256: Hash of its content, None for small files that Git keeps itself.
        git_oid: Git's hash of the file, or of its pointer.
    """

    size: int
    sha256: str | None
    git_oid: str


class Repository:
    """One data set repository at one revision.

    Args:
        repo_id: USER/NAME.
        revision: Branch to read and write, or tag or commit to read; None for the main branch.
        on_wait: Called with a sentence when the Hub asks to wait.
        kind: "dataset" or "model".
    """

    def __init__(
        self,
        repo_id: str,
        *,
        revision: str | None = None,
        on_wait: Callable[[str], None] = _log.warning,
        kind: str = "dataset",
    ) -> None:
        hub = require_hub()
        check_repo_id(repo_id)
        self.repo_id, self.revision, self.kind = repo_id, revision, kind
        self.url = f"{hub.constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
        self._hub, self._on_wait = hub, on_wait
        self._api = hub.HfApi(library_name="radrefine")
        self._where = {"repo_id": repo_id, "repo_type": kind}

    def check_token(self) -> str:
        """Ask the Hub whose token this is; returns the user's name.

        Raises:
            HubError: There is no token, or the Hub does not accept it.
        """
        return str(self.patiently("sign in", self._api.whoami)["name"])

    def create(self, *, public: bool) -> None:
        """Make the repository, private unless `public`; one that is there is left as it is.

        Raises:
            HubError: The repository is there and public although a private one was asked for.
        """
        self.patiently(
            f"create {self.repo_id}", lambda: self._api.create_repo(**self._where, private=not public, exist_ok=True)
        )
        info = self.patiently(f"look at {self.repo_id}", lambda: self._api.repo_info(**self._where))
        if not public and info.private is False:
            raise HubError(
                f"{self.repo_id} is there already and public, but a private repository was asked for; add --public, "
                "or make it private on its settings page, or choose another name"
            )
        if self.revision is not None:
            branch = self.revision
            self.patiently(
                f"create the branch {branch}",
                lambda: self._api.create_branch(**self._where, branch=branch, exist_ok=True),
            )

    def pin(self) -> None:
        """Go on with the commit that the revision names now, so that a push meanwhile mixes nothing into what is read.

        Raises:
            HubError: There is no such repository or revision, or it cannot be seen.
        """
        look = f"look at {self.repo_id}"
        info = self.patiently(look, lambda: self._api.repo_info(**self._where, revision=self.revision))
        self.revision = info.sha

    def files(self) -> dict[str, RemoteFile]:
        """List the files at the revision by path."""

        def listing() -> dict[str, RemoteFile]:
            entries = self._api.list_repo_tree(**self._where, revision=self.revision, recursive=True)
            return {
                entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
                for entry in entries
                if hasattr(entry, "blob_id")
            }

        return self.patiently(f"list the files of {self.repo_id}", listing)

    def upload(self, path: str, local: Path, sha256: str) -> Any:
        """Upload the content of a large file and return the operation that `commit` takes.

        Args:
            path: Path in the repository.
            local: The file; not needed any more when this returns.
            sha256: Its hash, in hexadecimal.
        """
        operation = self._hub.CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(local))
        operation.upload_info.sha256 = bytes.fromhex(sha256)
        self.patiently(
            f"upload {path}",
            lambda: self._api.preupload_lfs_files(
                **self._where, additions=[operation], revision=self.revision, free_memory=True
            ),
        )
        return operation

    def addition(self, path: str, data: bytes) -> Any:
        """Return the operation that adds a small file."""
        return self._hub.CommitOperationAdd(path_in_repo=path, path_or_fileobj=data)

    def deletion(self, path: str) -> Any:
        """Return the operation that deletes a file."""
        return self._hub.CommitOperationDelete(path_in_repo=path, is_folder=False)

    def commit(self, operations: list[Any], message: str) -> None:
        """Commit `operations`; nothing happens where all files are as they should be already."""
        tried = False

        def once() -> None:
            nonlocal tried
            # An answer that was lost on its way does not mean that the commit failed.
            if tried and self._is_done(operations):
                return
            tried = True
            self._api.create_commit(
                **self._where, operations=operations, commit_message=message, revision=self.revision
            )

        self.patiently(f"commit to {self.repo_id}", once)

    def _is_done(self, operations: list[Any]) -> bool:
        there = self.files()
        return all(_is_applied(operation, there) for operation in operations)

    def download(self, path: str, folder: Path) -> Path:
        """Bring one file into `folder` under its own path; resumes, and skips what is there and unchanged."""
        return Path(
            self.patiently(
                f"download {path}",
                lambda: self._hub.hf_hub_download(
                    **self._where, filename=path, revision=self.revision, local_dir=str(folder)
                ),
            )
        )

    def patiently(self, doing: str, call: Callable[[], _T]) -> _T:
        """Call `call`, again after a wait where the failure may pass; raises `HubError` where it does not."""
        return patiently(doing, call, repo=self.repo_id, on_wait=self._on_wait)


def _is_applied(operation: Any, there: dict[str, RemoteFile]) -> bool:
    remote = there.get(operation.path_in_repo)
    if not hasattr(operation, "upload_info"):
        return remote is None
    if remote is None:
        return False
    if remote.sha256 is not None:
        return bool(remote.sha256 == operation.upload_info.sha256.hex())
    data = operation.path_or_fileobj
    return isinstance(data, bytes) and remote.git_oid == git_blob_oid(data)


def git_blob_oid(data: bytes) -> str:
    """Return the hash under which Git keeps `data`."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
