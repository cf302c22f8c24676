"""How generated videos are measured and shown."""
