"""Turn a raw medical image collection into a refined, leak-free, published dataset."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("radrefine")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0.0.0"
