"""Publish models on the Hugging Face Hub, and train from data sets there; needs the extra `hub`."""

from pgnm.hub.dataset import load_sets, locate_split
from pgnm.hub.push import ModelPush, ModelPushOptions, push_model

__all__ = ["ModelPush", "ModelPushOptions", "load_sets", "locate_split", "push_model"]
