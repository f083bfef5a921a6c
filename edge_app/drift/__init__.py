"""Tell when what a camera sees, what the detector makes of it, or the traffic is no longer as it used to be."""
