"""Reads the models of TotalSegmentator in the folders in which it downloads them."""
