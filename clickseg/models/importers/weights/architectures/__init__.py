"""Networks of MONAI from the names and shapes of their weights. These are pure functions; they need no torch."""
