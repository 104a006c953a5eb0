"""A small server that speaks the part of the Hub's HTTP protocol that uploads, listings and downloads use.

It is a protocol stand-in, not a Hub: repositories live until it stops, there is no Xet storage and no Git.
Run by hand with `python -m tests.loopback --port 8080`, then `HF_ENDPOINT=http://127.0.0.1:8080 HF_HUB_DISABLE_XET=1`.
"""

import re
import threading
import time
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.loopback.storage import Repo, Storage


@dataclass
class Call:
    """One request as the server saw it.

    `status` is None where the server dropped the connection; `stored` is the hash that an upload completed.
    """

    method: str
    path: str
    status: int | None = None
    received: int = 0
    stored: str | None = None
    at: float = field(default_factory=time.monotonic)


@dataclass
class Fault:
    """Something to go wrong: the next `times` requests that match, after `skip` good ones."""

    pattern: re.Pattern[str]
    kind: str
    times: int
    skip: int
    status: int = 500
    retry_after: int | None = None
    after_bytes: int = 0


class LoopbackHub:
    """The stand-in; use as a context manager.

    Args:
        root: Folder for the contents of uploaded files.
        tokens: Role ("write" or "read") of each token that is accepted; all belong to `user`.
        user: Name that the tokens belong to.
        port: Port to listen on, 0 for any free one.
    """

    def __init__(
        self,
        root: Path,
        *,
        tokens: dict[str, str] | None = None,
        user: str = "ada",
        port: int = 0,
    ) -> None:
        from tests.loopback.protocol import Handler

        self.storage = Storage(root)
        self.tokens = {"hf_write": "write", "hf_read": "read"} if tokens is None else tokens
        self.user = user
        self.calls: list[Call] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.server = _Server(("127.0.0.1", port), Handler)
        self.server.hub = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> "LoopbackHub":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def fail(
        self, pattern: str, *, status: int = 500, retry_after: int | None = None, times: int = 1, skip: int = 0
    ) -> None:
        """Answer matching requests ("METHOD /path", a regular expression) with an error."""
        self._faults.append(Fault(re.compile(pattern), "status", times, skip, status, retry_after))

    def drop(self, pattern: str, *, after_bytes: int = 0, times: int = 1, skip: int = 0) -> None:
        """Close the connection of matching requests after so many bytes of their body."""
        self._faults.append(Fault(re.compile(pattern), "drop", times, skip, after_bytes=after_bytes))

    def lose_answer(self, pattern: str, *, times: int = 1, skip: int = 0) -> None:
        """Do what matching requests ask, then close the connection without an answer."""
        self._faults.append(Fault(re.compile(pattern), "lose", times, skip))

    def spoil(self, pattern: str, *, times: int = 1, skip: int = 0) -> None:
        """Flip a bit in the body of matching uploads, so that its hash is wrong."""
        self._faults.append(Fault(re.compile(pattern), "spoil", times, skip))

    def heal(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def take_fault(self, line: str) -> Fault | None:
        """Find the fault that the request `line` runs into, and count it."""
        with self._lock:
            for fault in self._faults:
                if not fault.pattern.search(line) or fault.times == 0:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def record(self, call: Call) -> None:
        """Add to the log."""
        with self._lock:
            self.calls.append(call)

    def count(self, pattern: str) -> int:
        """How many requests so far match."""
        return sum(1 for call in list(self.calls) if re.search(pattern, f"{call.method} {call.path}"))

    def uploads(self) -> list[str]:
        """Hashes of the contents that uploads completed, in order; twice when uploaded twice."""
        return [call.stored for call in self.calls if call.stored]

    def repo(self, kind: str, name: str) -> Repo:
        """A repository ("dataset" or "model")."""
        return self.storage.repos[kind, name]

    def files(self, kind: str, name: str, revision: str = "main") -> list[str]:
        """Paths in a repository."""
        return sorted(self.repo(kind, name).tree(revision))

    def read(self, kind: str, name: str, path: str, revision: str = "main") -> bytes:
        """Content of a file in a repository."""
        return self.storage.read(kind, name, path, revision)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: Any = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that the client or a fault cut."""
