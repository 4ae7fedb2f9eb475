"""Readers of models in the formats of other tools. Each returns a ``SourceModel``; nothing of a model is executed."""
