"""People who are hard to tell apart, records about them, and how well matchers tell them apart all the same.

`generate` makes populations, `public_sets` finds labelled sets of others, `score` judges, `rivals` are what Weft is held against and
`engine` runs Weft itself. `../bench.py` puts them together.
"""
