"""The results of a run: SEG, SR, preview, NIfTI."""
