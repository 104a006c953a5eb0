"""A stand-in for the Hugging Face Hub on this machine, so that the real clients can be tested without a network."""

from tests.loopback.server import Call, LoopbackHub

__all__ = ["Call", "LoopbackHub"]
