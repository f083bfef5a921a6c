"""Devices that count traffic which does not exist, and deliver it as real ones do."""
