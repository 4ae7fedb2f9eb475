"""Reads models of the extension MONAIAuto3DSeg of 3D Slicer."""
