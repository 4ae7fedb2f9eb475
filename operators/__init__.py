"""MONAI Deploy operators: each receives, makes one call into ``clickseg``, and emits."""
