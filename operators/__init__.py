"""MONAI Deploy operators: each receives a case, calls one function of ``clickseg``, and emits the result."""
