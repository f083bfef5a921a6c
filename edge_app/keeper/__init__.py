"""Configuration keeper: the one small program that runs as root and saves what the page asks for."""
