"""Tests of clickseg.models.importers.totalsegmentator."""
