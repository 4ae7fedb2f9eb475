"""Model packages: MONAI Bundles that say in their metadata what they take and what they give."""
