"""The drawings of the rendered street: our own, made with polygons in metres."""
