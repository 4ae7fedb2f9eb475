"""The names of the ports between operators, and so what travels there."""

CASE = "case"
PREPARED = "prepared"
PREDICTED = "predicted"
RESULT = "result"
