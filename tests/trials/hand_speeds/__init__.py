"""Speeds of real vehicles that a person read from frames, twice, beside those that the program measures."""
