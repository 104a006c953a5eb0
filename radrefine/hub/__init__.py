"""Publish data sets on the Hugging Face Hub, and bring them back.

`push_split` puts a split folder into a data set repository, `fetch` brings the masks, tables and splits of one here.
Both need the extra `hub`.
"""

from radrefine.hub.fetch import FetchSummary, fetch
from radrefine.hub.options import PushOptions, PushSummary
from radrefine.hub.push import push_split

__all__ = ["FetchSummary", "PushOptions", "PushSummary", "fetch", "push_split"]
