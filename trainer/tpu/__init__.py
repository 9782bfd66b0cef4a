"""Knowing before a TPU is rented: compile the training step for one that is not there."""
