"""Every network that generation needs, each with its frozen config."""
