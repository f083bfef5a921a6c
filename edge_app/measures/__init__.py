"""What is measured of vehicles beside their number. Pure: no clock, no I/O."""
