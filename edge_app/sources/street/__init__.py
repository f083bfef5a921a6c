"""Rendered street: a source whose traffic and scenery are our own drawings, made of polygons in metres."""
