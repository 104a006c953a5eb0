"""What earlier runs of a push made, so that a shard that is already on the Hub need not be written again to know so."""

import json
from pathlib import Path

from radrefine.files import write_json


class Journal:
    """Hashes of written shards by their key, kept in a file that is renewed after every shard.

    Args:
        path: The file; a missing or unreadable one counts as empty, which costs time and nothing else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hashes: dict[str, str] = {}
        try:
            known = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            known = {}
        if isinstance(known, dict):
            self._hashes = {str(key): str(value) for key, value in known.items()}

    def get(self, key: str) -> str | None:
        """Return the hash of the shard with this key, None where it was never written."""
        return self._hashes.get(key)

    def put(self, key: str, sha256: str) -> None:
        """Remember the hash of a shard."""
        self._hashes[key] = sha256
        write_json(self._path, self._hashes)
