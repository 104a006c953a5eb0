"""Split a refined folder into train, val and test without leakage.

`prepare` chooses the images, `names` finds those that tables name, `grouping` joins what belongs together, `given`
takes over splits that exist, `assign` divides whole groups by class, `rare` looks after small classes, `write` writes
the tables, `layout` links the images, `proof` reads the tables back, `collection` does it all.
"""

from radrefine.split.collection import SplitSummary, fold_collection, split_collection
from radrefine.split.options import SplitOptions
from radrefine.split.proof import SplitProof

__all__ = ["SplitOptions", "SplitProof", "SplitSummary", "fold_collection", "split_collection"]
