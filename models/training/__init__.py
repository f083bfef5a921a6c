"""Train a better detector from annotated pictures and the published weights. Needs the extra `models`."""
