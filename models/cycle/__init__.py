"""Run the model cycle of a city from one file: import, check, split, train, export, evaluate, gate, register."""
