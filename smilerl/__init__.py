"""smilerl: reward a language model for making people smile, then look at what it came to care about."""

__version__ = "0.1.0"
