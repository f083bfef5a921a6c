"""Serve the local page on which lines, region and masks are drawn."""
