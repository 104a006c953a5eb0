"""Policy-gradient-driven noise-mask pretraining, finetuning and evaluation of image classifiers."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("radrefine")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0.0.0"
