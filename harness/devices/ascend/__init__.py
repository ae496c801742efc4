"""Ascend NPUs as a device: which chips a run may use, and how they are read while it works."""
