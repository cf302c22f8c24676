"""The networks of the model sets, one a module."""
