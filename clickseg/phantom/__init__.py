"""Studies made from formulas, for the demo and the tests: nothing has to be downloaded, and no patient is in them."""
