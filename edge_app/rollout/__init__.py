"""Models and configurations that arrive from the office: tried, kept or taken back."""
