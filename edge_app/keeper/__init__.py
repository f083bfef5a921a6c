"""Configuration keeper: the one small program of root, which saves what the page asks for and has releases changed."""
