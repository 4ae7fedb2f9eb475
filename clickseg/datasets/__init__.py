"""Cases whose truth is known, from the folders that people keep them in."""
