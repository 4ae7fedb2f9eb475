"""What a run writes: SEG, SR, preview, NIfTI."""
