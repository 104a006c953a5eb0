"""The connection to one repository on the Hub: every request is tried again as the Hub asks."""

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from radrefine.errors import HubError, MissingExtraError, UsageError
from radrefine.hub import failures

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

# Tries of one request on top of the client's own five; waits between them double from 1 s unless the Hub says more.
ATTEMPTS = 6
# Longest wait asked for by the Hub that is waited out, in seconds; beyond it the user is told when to come back.
PATIENCE = 2 * 3600.0


def require_hub() -> Any:
    """Import `huggingface_hub`.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.utils
    except ImportError:
        raise MissingExtraError("huggingface_hub", "hub") from None
    return huggingface_hub


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
        revision: Branch to read and write, None for the main branch.
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
        self._token: str | None = hub.get_token()
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
        """Call `call`, again after a wait where the failure may pass.

        Raises:
            HubError: It failed for good, or too often.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with _quiet_client(self._hub, self._token):
                    return call()
            except HubError:
                raise
            except Exception as error:
                if not _is_of_the_hub(error):
                    raise
                wait = failures.wait_before(error, attempt)
                if attempt == ATTEMPTS or not failures.is_passing(error) or wait > PATIENCE:
                    # `from None`: the client's own error may show the headers that were sent.
                    raise failures.explain(error, doing=doing, repo=self.repo_id, token=self._token) from None
                status = failures.status_of(error)
                said = f"the Hub answered {status}" if status else "the connection was lost"
                self._on_wait(f"{doing}: {said}; trying again in {wait:,.0f} s ({attempt + 1} of {ATTEMPTS})")
                time.sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")


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


def _is_of_the_hub(error: Exception) -> bool:
    """Tell failures of the Hub and its client from those of this machine, such as a full disk."""
    if failures.status_of(error) is not None or failures.is_network_error(error):
        return True
    modules = {type(link).__module__.split(".")[0] for link in failures.chain(error)}
    return bool(modules & {"huggingface_hub", "httpx", "httpx2", "httpcore", "httpcore2", "hf_xet"})


class _Scrub(logging.Filter):
    def __init__(self, token: str | None) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = failures.scrub(record.getMessage(), self._token), ()
        return True


@contextlib.contextmanager
def _quiet_client(hub: Any, token: str | None) -> Iterator[None]:
    """Keep the client's bars off the terminal and secrets out of its log while it works for us."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    scrubber = _Scrub(token)
    had_bars = not hub.utils.are_progress_bars_disabled()
    logger.addFilter(scrubber)
    if had_bars:
        hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        logger.removeFilter(scrubber)
        if had_bars:
            hub.utils.enable_progress_bars()
