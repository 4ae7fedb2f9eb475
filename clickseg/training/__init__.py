"""Training of networks with simulated clicks, based on PyTorch and MONAI."""
