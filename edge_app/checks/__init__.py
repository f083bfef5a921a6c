"""What `edge-app check` asks of a configuration and of the device."""
