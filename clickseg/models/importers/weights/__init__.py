"""Reads files that contain only weights: checkpoints and TorchScript; presets and JSON files describe the rest."""
