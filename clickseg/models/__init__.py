"""Model packages: MONAI Bundles whose metadata have a ``clickseg`` section."""
