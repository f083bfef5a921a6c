"""Training: from annotated pictures and the published weights to a better detector file. Needs the extra `models`."""
