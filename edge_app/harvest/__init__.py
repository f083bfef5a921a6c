"""Frames worth labelling: chosen on the device, made private, kept within a quota and not for long. Off by default."""
