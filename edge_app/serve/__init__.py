"""The detector as a service: boxes of pictures and counts of clips over HTTP, and the same without a service.

It uses the detector, the drawing and the counting of a device and has none of its own. Extra: `edge-app[serve]`.
"""
