"""Reads trained models of nnU-Net, version 2."""
