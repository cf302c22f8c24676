"""Losses and the discriminators that give some of them."""
