"""Is the ensemble worth its price? It and the simple thing, for the same training compute.

`python -m benchmarks.worth`: `__main__.py` says how. `sets.py` makes the data sets, `networks.py`
networks that learn from scratch; `keras_fit.py` is the simple thing; `plans.py` says what is
compared, `jobs.py` trains it, `scores.py` scores it and `table.py` shows it.
"""
