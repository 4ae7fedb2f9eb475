"""Readers and writers of click files, one module per format."""
