"""Write the cleaning report: what is in a set of annotated pictures, and what looks wrong with its labels."""
