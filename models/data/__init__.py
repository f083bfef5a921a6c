"""Annotated pictures: import, check, split by camera. `python -m models.data --help` lists the commands."""
