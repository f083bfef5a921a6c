"""Survival trials: one module for each fault of the roadside, with what must hold through it."""
