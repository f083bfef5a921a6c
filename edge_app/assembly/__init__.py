"""Builders of the objects of the program, each from a configuration: the composition root, by subject."""
