"""Model sets: their files, loading them, and where they come from."""
