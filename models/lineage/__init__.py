"""Keep what weights and detectors were made from, back to the first ancestor: `python -m models.lineage COMMAND`."""
