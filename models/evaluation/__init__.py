"""Evaluate detectors on labelled pictures and on clips: `python -m models.evaluation MODEL.tflite ...`."""
