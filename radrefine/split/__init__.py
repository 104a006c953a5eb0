"""Split a refined folder into train, val and test without leakage.

`grouping` joins what belongs together, `assign` divides whole groups by class, `rare` looks after small classes,
`write` writes the tables, `proof` reads them back, `collection` does it all.
"""

from radrefine.split.collection import SplitSummary, split_collection
from radrefine.split.options import SplitOptions
from radrefine.split.proof import SplitProof

__all__ = ["SplitOptions", "SplitProof", "SplitSummary", "split_collection"]
