"""Publish models on the Hugging Face Hub; needs the extra `hub`."""

from pgnm.hub.push import ModelPush, ModelPushOptions, push_model

__all__ = ["ModelPush", "ModelPushOptions", "push_model"]
