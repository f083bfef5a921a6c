"""Show live pictures to people who set a device up: RTSP streams and single snapshots."""
