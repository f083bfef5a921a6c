"""How good detectors are: on labelled pictures, on clips with known crossings, in time and size, side by side."""
