"""Find what is wrong in a refined folder: duplicates, blanks, conflicting labels, classes too small."""

from radrefine.audit.collection import load_manifest
from radrefine.audit.duplicates import Duplicates, find_duplicates

__all__ = ["Duplicates", "find_duplicates", "load_manifest"]
