"""Files of one session that are checked when they are read."""
