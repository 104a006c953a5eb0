"""Find what is wrong in a refined folder: duplicates, blanks, conflicting labels, classes too small.

`collection` reads the folder, `hashing` fingerprints what is stored, `neighbours` proposes pairs, `confirm` compares
their texture, `duplicates` joins them, `tables` and `taxonomy` put the faults into tables, `figures` draws,
`report` does it all.
"""

from radrefine.audit.collection import load_manifest
from radrefine.audit.duplicates import Duplicates, find_duplicates
from radrefine.audit.report import AuditSummary, audit_collection

__all__ = ["AuditSummary", "Duplicates", "audit_collection", "find_duplicates", "load_manifest"]
