"""Sound, microphone and pictures in and out of files."""
