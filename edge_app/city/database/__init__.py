"""The city's database: tables, connection, storing of batches, reading for the page."""
