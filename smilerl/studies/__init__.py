"""Studies: a plan of arms and seeds, run until nothing is missing, and one report about all of it."""
