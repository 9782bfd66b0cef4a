"""What an ensemble makes of its networks' logits: each part is measured on real networks.

`python -m benchmarks.ensemble_quality`: `__main__.py` says how. `pools.py` gives the networks and
their logits; `parts/` has one module a part.
"""
