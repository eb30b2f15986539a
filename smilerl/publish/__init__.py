"""Sharing on the Hugging Face Hub: what goes, what never goes, the card that says what it is, and the way back.

    smilerl push RUN --to org/name --dry-run      lists every file that would go, and writes the card to look at
    smilerl push RUN --to org/name
    smilerl pull org/name                         and `smilerl eval org/name --suite quick` without pulling first

* `ids`: names on the Hub, `org/name@revision`, and the Hub's errors in words that say what to do;
* `fetch`: a repository here, for whatever takes a path; `pull`, a copy to keep;
* `contents`: which files of a run go; `private`: nothing about this machine in them; `scan`: no secret in them;
* `facts`, `sections`, `card`: what the card says; `push`, `dataset`: all of it put together; `upload`: in one commit;
* `trust`: what a recipe from the Hub may name.

Nothing is uploaded unless asked, nothing that is downloaded is run as code.
"""
