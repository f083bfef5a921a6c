"""Keep the candidates, the rules they must pass, and what is in production: `python -m models.registry COMMAND`."""
