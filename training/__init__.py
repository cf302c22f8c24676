"""The two-stage trainer of Speech2Video and of its baselines; imports s2v_core, never the reverse."""
