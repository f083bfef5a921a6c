"""Import, check and split annotated pictures: `python -m models.data --help` lists the commands."""
