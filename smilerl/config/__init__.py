"""Recipes and settings: YAML files with line numbers, checked, as frozen dataclasses."""
