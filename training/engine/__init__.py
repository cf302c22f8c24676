"""How any network is trained: settings, loop, optimiser, processes, log."""
