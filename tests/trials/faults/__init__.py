"""Inject faults into a running service, and check that nothing told is lost: python -m tests.trials.faults."""
