"""Publishing on the Hugging Face Hub: what goes, what never goes, and the card that describes it.

    smilerl push RUN --to org/name --dry-run      lists every file that would go, and writes the card to look at
    smilerl push RUN --to org/name

* `contents`: which files of a run go; `private`: nothing about this machine in them; `scan`, `forms`: no secrets;
* `facts`, `sections`, `card`: what the card says; `push`, `dataset`: all of it put together; `upload`: in one commit.

Nothing is uploaded unless asked. Downloads, names and trust are in `smilerl.models.hub`.
"""
