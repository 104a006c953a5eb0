"""How the stand-in answers: one method per kind of request."""

import hashlib
import json
import re
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import yaml

from tests.loopback.server import Call, Fault, LoopbackHub
from tests.loopback.storage import Entry, Refusal, Repo

_BLOCK = 1 << 20
_PAGE = 1000
_LARGE = 10 << 20
_LFS_SUFFIXES = (".parquet", ".safetensors", ".png", ".bin", ".tar", ".zip", ".npy")


class _Dropped(Exception):
    """The server closes the connection here."""


class Handler(BaseHTTPRequestHandler):
    """Speaks the protocol on one connection."""

    protocol_version = "HTTP/1.1"
    # Headers and body go out in two writes; without this the second waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    call: Call
    fault: Fault | None

    @property
    def hub(self) -> LoopbackHub:
        return self.server.hub  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the log in `LoopbackHub.calls` only."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _serve(self) -> None:
        url = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        self.call = Call(self.command, url.path)
        self.fault = self.hub.take_fault(f"{self.command} {url.path}")
        self._left = int(self.headers.get("Content-Length") or 0)
        self._chunked = "chunked" in (self.headers.get("Transfer-Encoding") or "")
        try:
            self._answer(unquote(url.path))
        except _Dropped:
            self.close_connection = True
            self.connection.close()
        except Refusal as refusal:
            self._refuse(refusal)
        finally:
            self.hub.record(self.call)

    def _answer(self, path: str) -> None:
        fault = self.fault
        if fault and fault.kind == "drop":
            self._read(limit=fault.after_bytes)
            raise _Dropped
        if fault and fault.kind == "status":
            raise Refusal(fault.status, "the server was told to fail")
        for method, pattern, action in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in method:
                action(self, *match.groups())
                return
        raise Refusal(404, f"no such page: {path}", "EntryNotFound")

    # ---- reading and writing

    def _blocks(self) -> Any:
        if self._chunked:
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            self._chunked = False
        while self._left:
            block = self.rfile.read(min(_BLOCK, self._left))
            if not block:
                raise _Dropped
            self._left -= len(block)
            yield block

    def _read(self, limit: int | None = None) -> bytes:
        parts: list[bytes] = []
        for block in self._blocks() if limit != 0 else ():
            parts.append(block)
            self.call.received += len(block)
            if limit is not None and self.call.received >= limit:
                break
        return b"".join(parts)

    def _json_body(self) -> dict[str, Any]:
        return json.loads(self._read() or b"{}")

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._read()  # what is left of the request, so that the connection can serve the next one
        if self.fault and self.fault.kind == "lose":
            raise _Dropped
        self.call.status = status
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _refuse(self, refusal: Refusal) -> None:
        headers = {"X-Error-Message": refusal.message}
        if refusal.code:
            headers["X-Error-Code"] = refusal.code
        if self.fault and self.fault.retry_after is not None:
            headers["Retry-After"] = str(self.fault.retry_after)
        try:
            self._send_json({"error": refusal.message}, refusal.status, headers)
        except _Dropped:
            self.close_connection = True

    # ---- who may do what

    def _role(self) -> str | None:
        header = self.headers.get("Authorization")
        if not header:
            return None
        role = self.hub.tokens.get(header.removeprefix("Bearer "))
        if role is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return role

    def _repo(self, kind: str, name: str) -> Repo:
        repo = self.hub.storage.repos.get((kind, name))
        if repo is None or (repo.private and self._role() is None):
            raise Refusal(404 if self._role() else 401, "Repository not found", "RepoNotFound")
        return repo

    def _writable(self, kind: str, name: str) -> Repo:
        repo = self._repo(kind, name)
        if self._role() != "write":
            raise Refusal(403, "You don't have the rights to write to this repository")
        return repo

    # ---- account and repositories

    def whoami(self) -> None:
        role = self._role()
        if role is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        token = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        self._send_json({"type": "user", "name": self.hub.user, "orgs": [], "auth": token})

    def create(self) -> None:
        body = self._json_body()
        if self._role() != "write":
            raise Refusal(403, "You don't have the rights to create a repository")
        owner = body.get("organization") or self.hub.user
        if owner != self.hub.user:
            raise Refusal(403, f'You don\'t have the rights to create a repository under the namespace "{owner}"')
        kind, name = body.get("type", "model"), f"{owner}/{body['name']}"
        url = f"{self.hub.url}/{'datasets/' if kind == 'dataset' else ''}{name}"
        try:
            self.hub.storage.create(kind, name, private=body.get("private") or body.get("visibility") == "private")
        except Refusal as refusal:
            self._send_json({"error": refusal.message, "url": url}, 409)
            return
        self._send_json({"url": url, "name": name, "id": name})

    def info(self, kind: str, name: str, revision: str | None = None) -> None:
        repo = self._repo(kind, name)
        commit = repo.resolve(revision or "main")
        self._send_json(
            {
                "_id": "0" * 24,
                "id": name,
                "author": name.split("/")[0],
                "sha": commit,
                "lastModified": "2024-01-01T00:00:00.000Z",
                "createdAt": "2024-01-01T00:00:00.000Z",
                "private": repo.private,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [{"rfilename": path} for path in sorted(repo.commits[commit])],
            }
        )

    def branch(self, kind: str, name: str, branch: str) -> None:
        repo = self._writable(kind, name)
        if branch in repo.branches:
            raise Refusal(409, "Reference already exists")
        repo.branches[branch] = repo.resolve(self._json_body().get("startingPoint") or "main")
        self._send_json({})

    def refs(self, kind: str, name: str) -> None:
        repo = self._repo(kind, name)
        branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in repo.branches.items()]
        self._send_json({"branches": branches, "converts": [], "tags": []})

    def validate_yaml(self) -> None:
        content = self._json_body()["content"]
        match = re.match(r"---\r?\n(.*?)\r?\n---\r?\n", content, re.DOTALL)
        try:
            metadata = yaml.safe_load(match[1]) if match else None
        except yaml.YAMLError as error:
            self._send_json({"errors": [{"message": str(error)}], "warnings": []}, 400)
            return
        warnings = [] if isinstance(metadata, dict) else [{"message": "empty or missing yaml metadata in repo card"}]
        self._send_json({"errors": [], "warnings": warnings})

    # ---- listing and reading

    def tree(self, kind: str, name: str, revision: str, folder: str | None = None) -> None:
        repo = self._repo(kind, name)
        recursive = self.query.get("recursive", "false").lower() == "true"
        listing = _list(repo.tree(revision), folder or "", recursive=recursive)
        if folder and not listing:
            raise Refusal(404, f"no such folder: {folder}", "EntryNotFound")
        start = int(self.query.get("cursor", 0))
        headers = {}
        if start + _PAGE < len(listing):
            query = urlencode({**self.query, "cursor": start + _PAGE})
            headers["Link"] = f'<{self.hub.url}{urlsplit(self.path).path}?{query}>; rel="next"'
        self._send_json(listing[start : start + _PAGE], headers=headers)

    def paths_info(self, kind: str, name: str, revision: str) -> None:
        tree = self._repo(kind, name).tree(revision)
        body = self._read().decode()
        is_json = "json" in (self.headers.get("Content-Type") or "")
        wanted = json.loads(body)["paths"] if is_json else parse_qs(body).get("paths", [])
        found = {info["path"]: info for info in _list(tree, "", recursive=True)}
        self._send_json([found[path] for path in wanted if path in found])

    def resolve(self, prefix: str | None, name: str, revision: str, path: str) -> None:
        repo = self._repo("dataset" if prefix else "model", name)
        commit = repo.resolve(revision)
        entry = repo.commits[commit].get(path)
        if entry is None:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        headers["ETag"] = f'"{entry.sha256 if entry.lfs else entry.git_oid}"'
        if entry.lfs:
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(entry.size)}
        self._send_file(entry, headers)

    def _send_file(self, entry: Entry, headers: dict[str, str]) -> None:
        start, stop, status = 0, entry.size, 200
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, stop, status = int(match[1]), min(int(match[2] or entry.size - 1) + 1, entry.size), 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{entry.size}"
        if self.command == "HEAD":
            self._send(status, b"", {**headers, "Content-Length": str(stop - start)})
            return
        with self.hub.storage.object_path(entry.sha256).open("rb") as file:
            file.seek(start)
            self._send(status, file.read(stop - start), headers)

    # ---- uploading

    def preupload(self, kind: str, name: str, revision: str) -> None:
        repo = self._writable(kind, name)
        tree = repo.tree(revision)
        files = []
        for file in self._json_body()["files"]:
            path = file["path"]
            large = path.endswith(_LFS_SUFFIXES) or file["size"] >= _LARGE
            oid = None
            if path in tree:
                oid = tree[path].sha256 if tree[path].lfs else tree[path].git_oid
            mode = "lfs" if large else "regular"
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._send_json({"files": files})

    def batch(self, prefix: str | None, name: str) -> None:
        self._writable("dataset" if prefix else "model", name)
        objects = []
        for wanted in self._json_body()["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if not self.hub.storage.object_path(wanted["oid"]).exists():
                upload = {"href": f"{self.hub.url}/lfs/{wanted['oid']}?X-Amz-Signature={secrets.token_hex(8)}"}
                verify = {"href": f"{self.hub.url}/lfs-verify/{wanted['oid']}"}
                answer["actions"] = {"upload": upload, "verify": verify}
            objects.append(answer)
        self._send_json({"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        place = self.hub.storage.root / f"part-{secrets.token_hex(8)}"
        digest = hashlib.sha256()
        try:
            with place.open("wb") as file:
                for block in self._blocks():
                    self.call.received += len(block)
                    if self.fault and self.fault.kind == "spoil":
                        block = bytes([block[0] ^ 1]) + block[1:]
                    digest.update(block)
                    file.write(block)
            if digest.hexdigest() != oid:
                raise Refusal(400, "the checksum of the upload does not match")
            place.rename(self.hub.storage.object_path(oid))
        finally:
            place.unlink(missing_ok=True)
        self.call.stored = oid
        self._send(200, b"", {})

    def verify(self, oid: str) -> None:
        place = self.hub.storage.object_path(oid)
        if not place.exists() or place.stat().st_size != self._json_body()["size"]:
            raise Refusal(400, "the object is not there")
        self._send_json({})

    def commit(self, kind: str, name: str, revision: str) -> None:
        repo = self._writable(kind, name)
        operations = [json.loads(line) for line in self._read().splitlines() if line]
        commit = self.hub.storage.apply(repo, revision, operations)
        prefix = "datasets/" if kind == "dataset" else ""
        self._send_json({"commitUrl": f"{self.hub.url}/{prefix}{name}/commit/{commit}", "commitOid": commit})


def _list(tree: dict[str, Entry], folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    start = folder.strip("/") + "/" if folder.strip("/") else ""
    found: dict[str, dict[str, Any]] = {}
    for path, entry in tree.items():
        if not path.startswith(start):
            continue
        parts = path[len(start) :].split("/")
        for depth in range(1, len(parts)):
            parent = start + "/".join(parts[:depth])
            found.setdefault(parent, {"type": "directory", "path": parent, "oid": "0" * 40, "size": 0})
            if not recursive:
                break
        if recursive or len(parts) == 1:
            found[path] = entry.info(path)
    return [found[path] for path in sorted(found)]


def _of_kind(action: Callable[..., None]) -> Callable[..., None]:
    """Pass "dataset" for "datasets", "model" for "models"."""

    def call(handler: Handler, kinds: str, *rest: str) -> None:
        action(handler, kinds.removesuffix("s"), *rest)

    return call


_API = r"/api/(datasets|models)/([^/]+/[^/]+)"
_PLAIN = r"/(datasets/)?([^/]+/[^/]+)"
_ROUTES: list[tuple[tuple[str, ...], str, Callable[..., None]]] = [
    (("GET",), r"/api/whoami-v2", Handler.whoami),
    (("POST",), r"/api/repos/create", Handler.create),
    (("POST",), r"/api/validate-yaml", Handler.validate_yaml),
    (("GET",), _API, _of_kind(Handler.info)),
    (("GET",), _API + r"/revision/(.+)", _of_kind(Handler.info)),
    (("GET",), _API + r"/refs", _of_kind(Handler.refs)),
    (("POST",), _API + r"/branch/(.+)", _of_kind(Handler.branch)),
    (("GET",), _API + r"/tree/([^/]+)(?:/(.+))?", _of_kind(Handler.tree)),
    (("POST",), _API + r"/paths-info/(.+)", _of_kind(Handler.paths_info)),
    (("POST",), _API + r"/preupload/(.+)", _of_kind(Handler.preupload)),
    (("POST",), _API + r"/commit/(.+)", _of_kind(Handler.commit)),
    (("POST",), _PLAIN + r"\.git/info/lfs/objects/batch", Handler.batch),
    (("PUT",), r"/lfs/([0-9a-f]{64})", Handler.upload),
    (("POST",), r"/lfs-verify/([0-9a-f]{64})", Handler.verify),
    (("GET", "HEAD"), _PLAIN + r"/resolve/([^/]+)/(.+)", Handler.resolve),
]
