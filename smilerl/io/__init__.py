"""Files, paths, errors and the terminal: what every other room reads and writes through."""
