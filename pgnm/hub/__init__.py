"""Publish models on the Hugging Face Hub, and train from data sets there; needs the extra `hub`."""

from pgnm.hub.dataset import locate_split
from pgnm.hub.push import ModelPush, ModelPushOptions, push_model

__all__ = ["ModelPush", "ModelPushOptions", "locate_split", "push_model"]
