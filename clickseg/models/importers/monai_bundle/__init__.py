"""Reads MONAI Bundles without MONAI, which would execute the expressions in them."""
