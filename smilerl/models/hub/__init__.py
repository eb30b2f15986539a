"""Models on the Hugging Face Hub: ids, downloads, and which recipes from there may be used."""
