"""Whether the camera still sees the road: the view, judged about once a second on a small grey picture."""
