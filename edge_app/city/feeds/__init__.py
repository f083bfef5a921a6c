"""Put the newest counts into formats that other systems read. Pure: no clock, no I/O."""
