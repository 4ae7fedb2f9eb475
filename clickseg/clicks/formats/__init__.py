"""Readers and writers of click files, one module for each format."""
