"""Faces in pictures: where they are, how they stand and how they move."""
