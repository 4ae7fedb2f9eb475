"""What all other packages share, and what depends on none of them."""
