"""Corpora, their preparation, and prepared clips as batches need them."""
