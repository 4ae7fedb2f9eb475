"""Tools for developers: Python modules (``python -m scripts.NAME``) and shell scripts."""
