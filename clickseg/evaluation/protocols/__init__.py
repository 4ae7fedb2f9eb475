"""Protocols: how others simulate the users of interactive segmentation, each by itself."""
