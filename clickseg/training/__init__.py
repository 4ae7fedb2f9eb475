"""Training of networks with simulated clicks, on torch and MONAI."""
