"""Combine trained networks: one pass over the data, weighted logits, one model to ship."""
