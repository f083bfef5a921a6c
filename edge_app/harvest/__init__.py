"""Keep frames worth labelling: chosen on the device, redacted, within a quota, for a limited time. Off by default."""
