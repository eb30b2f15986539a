"""SmileWorld, the embedded default: small enough for a language model pretrained in minutes, and its truth is known.

Read `dynamics.py` for what acts do to people, `people.py` for who they are, `acts.py` for how helpers speak.
"""

from smilerl.worlds.smileworld.world import SmileWorld, build

__all__ = ["SmileWorld", "build"]
