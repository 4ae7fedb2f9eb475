"""The MONAI Deploy application."""
