"""The commands of ``clickseg``."""
