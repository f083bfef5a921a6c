"""Proof of survival: each fault of the roadside, what must hold through it, and what was found."""
