"""Long trials of the detector as a service: speed, memory, hostile clients, clips, several instances."""
