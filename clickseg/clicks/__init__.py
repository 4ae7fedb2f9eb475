"""Clicks in patient coordinates, readers and writers of click files, and simulated clicks."""
