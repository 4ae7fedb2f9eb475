"""The names of the ports between operators: the data that they carry."""

CASE = "case"
PREPROCESSED = "preprocessed"
PREDICTED = "predicted"
RESULT = "result"
