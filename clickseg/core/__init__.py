"""Basic functions for all other packages: files, errors, arrays, memory, devices, text."""
