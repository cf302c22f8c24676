"""Work on speech that arrives in pieces."""
