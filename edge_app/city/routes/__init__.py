"""Routes of the city's page and API: a route reads the request, asks the database and sends the answer."""
