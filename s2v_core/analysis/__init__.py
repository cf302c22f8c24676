"""What a model makes of a voice, and how good a video is."""
