"""Run the model cycle of a city from one file, as steps that are skipped while nothing has changed."""
