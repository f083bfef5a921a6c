"""The city side: intervals of all devices, stored once, made whole, added up and shown. Never imported by a device."""
