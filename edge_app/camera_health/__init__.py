"""Check whether the camera still sees the road, about once a second on a small grey picture."""
