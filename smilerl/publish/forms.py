"""What secrets look like: the detectors of detect-secrets that fit the files of a push, and patterns of our own.

Of detect-secrets those detectors are used that look for a fixed mark. The others find too much that is no secret: the
entropy detectors (hashes, vocabularies and base64 images), the keyword detector (`"eos_token": "..."`; `_ASSIGNED`
replaces it), public IP addresses, and those whose pattern is any long string of letters and digits (Twilio, Discord,
Artifactory, IBM, SoftLayer, Cloudant). The detectors' `verify` methods, which call the internet, are never called.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_DIGIT = rb"(?=[A-Za-z_-]*[0-9])"
_OPENAI = "an API key (sk-...), as OpenAI and Anthropic write them"
_AWS_SECRET = rb"aws_secret_access_key[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+=]{40}"
_GITHUB = (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_")
#: The beginning of a token, which is found fast; its pattern; what it is. Looked for in every byte of every file.
TOKENS = tuple(
    (mark, re.compile(form), what)
    for mark, form, what in (
        (b"hf_", rb"hf_[A-Za-z0-9]{30,}", "a Hugging Face token"),
        (b"api_org_", rb"api_org_[A-Za-z0-9]{30,}", "a Hugging Face organisation token"),
        (b"sk-", rb"sk-" + _DIGIT + rb"(?=[0-9_-]*[A-Za-z])[A-Za-z0-9_-]{20,}", _OPENAI),
        (b"gsk_", rb"gsk_" + _DIGIT + rb"[A-Za-z0-9]{20,}", "a Groq API key"),
        (b"r8_", rb"r8_" + _DIGIT + rb"[A-Za-z0-9]{20,}", "a Replicate token"),
        (b"nvapi-", rb"nvapi-[A-Za-z0-9_-]{20,}", "an NVIDIA API key"),
        (b"xai-", rb"xai-" + _DIGIT + rb"[A-Za-z0-9]{20,}", "an xAI API key"),
        (b"pplx-", rb"pplx-" + _DIGIT + rb"[A-Za-z0-9]{20,}", "a Perplexity API key"),
        (b"fw_", rb"fw_" + _DIGIT + rb"[A-Za-z0-9]{20,}", "a Fireworks API key"),
        (b"tgp_v1_", rb"tgp_v1_[A-Za-z0-9_-]{20,}", "a Together API key"),
        (b"wandb_v1_", rb"wandb_v1_[A-Za-z0-9_-]{20,}", "a Weights & Biases API key"),
        (b"lsv2_", rb"lsv2_[a-z]{2}_[A-Za-z0-9_]{20,}", "a LangSmith API key"),
        (b"npm_", rb"npm_" + _DIGIT + rb"[A-Za-z0-9]{36}", "an npm token"),
        (b"dckr_pat_", rb"dckr_pat_[A-Za-z0-9_-]{20,}", "a Docker token"),
        (b"ya29.", rb"ya29\.[A-Za-z0-9_-]{20,}", "a Google access token"),
        (b"AKIA", rb"AKIA[0-9A-Z]{16}(?![0-9A-Za-z])", "an AWS access key"),
        (b"ASIA", rb"ASIA[0-9A-Z]{16}(?![0-9A-Za-z])", "an AWS access key"),
        (b"aws_secret_access_key", _AWS_SECRET, "an AWS secret key"),
        (b"github_pat_", rb"github_pat_[A-Za-z0-9_]{22,}", "a GitHub token"),
        *((mark, mark + rb"[A-Za-z0-9]{36,}", "a GitHub token") for mark in _GITHUB),
        (b"glpat-", rb"glpat-[A-Za-z0-9_-]{20,}", "a GitLab token"),
        (b"xox", rb"xox[abprs]-[A-Za-z0-9-]{10,}", "a Slack token"),
        (b"AIza", rb"AIza[A-Za-z0-9_-]{35}", "a Google API key"),
        (b"-----BEGIN ", rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY", "a private key"),
        (b"PuTTY-User-Key-File-", rb"PuTTY-User-Key-File-\d", "a private key"),
    )
)  # fmt: skip
_WORD = re.compile(rb"[A-Za-z0-9]")

#: `NAME = VALUE` in its many spellings: a quote after the name, the sign, a quote before the value, the value.
_ASSIGNED = re.compile(
    r"(?<![A-Za-z0-9])([A-Za-z0-9_.\-]{0,60}?(?:passw(?:or)?d|passphrase|pwd|_pass|secret|token|key|credentials?))"
    r"[\"']?\s{0,3}(=>|:=|=|:)\s{0,3}([\"']?)([^\s\"'`,;&<>(){}\[\]|]{4,300})(.?)",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"(passw(or)?d|passphrase|pwd|_pass|secret|credentials?)$", re.IGNORECASE)
#: Names of keys and tokens that are secrets; `eos_token`, `key` and `cache_key` are not.
_KEY = re.compile(
    r"((api|access|secret|private|auth|account|service|license)[_-]?key"
    r"|(^|[^A-Za-z])(api|auth|access|refresh|bearer|hub|session|bot|hf|github|gitlab|wandb|secret|client|id)[_-]?token|^-{0,2}token)$",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"[A-Z0-9_]+_(TOKEN|KEY)$")  # of an environment, in capitals
_NO_SECRET = re.compile(
    r"none|null|true|false|str|string|bytes|required|optional|undefined|\W+|(.)\1*|[$%*~./].*|.*(environ|getenv|getpass).*",
    re.IGNORECASE | re.DOTALL,
)
_KEY_VALUE = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_\-.~+/=:]{16,}")
_MIXED = re.compile(r"(?=[^A-Za-z]*[A-Za-z])(?=.*[^A-Za-z]).{8,}")
_NAME_IN_CODE = re.compile(r"[A-Za-z_][A-Za-z_.]*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{1,20}://[^\s/@\"'<>`]{0,200}:([^\s/@\"'<>`]{1,200})@[\w\[]")
_URL_TOKEN = re.compile(r"://(?=[^@\s]*[0-9])[A-Za-z0-9_\-]{20,200}@[\w\[]")
_BEARER = re.compile(
    r"\bbearer\s{1,3}((?=[^0-9\s]*[0-9])[A-Za-z0-9._~+/=\-]{16,})"
    r"|authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:basic|token|bearer)\s{1,3}([A-Za-z0-9._~+/=\-]{8,})",
    re.IGNORECASE,
)


class Form(NamedTuple):
    """One kind of secret in a text.

    Attributes:
        marks: in lower case; one of them stands in every text that has the form, so that others need not be searched.
        find: a line, and whether it is of a program, to the positions of such secrets.
        what: what it is, for the report.
    """

    marks: tuple[str, ...]
    find: Callable[[str, bool], Iterator[int]]
    what: str


def in_bytes(data: bytes, *, wide: bool = False) -> Iterator[tuple[int, str]]:
    """Where tokens with a known beginning stand in these bytes, at most one of a kind, and what they are.

    Args:
        wide: look for them in UTF-16 too.
    """
    for mark, form, what in TOKENS:
        at = data.find(mark)
        while at >= 0:
            before = data[at - 1 : at]
            if not (before and _WORD.match(before)) and form.match(data, at):
                yield at, what
                break
            at = data.find(mark, at + 1)
    for encoding in ("utf-16-le", "utf-16-be") if wide else ():
        for mark, form, what in TOKENS:
            at = data.find(mark.decode().encode(encoding))
            if at >= 0 and form.match(data[at : at + 1024].decode(encoding, "ignore").encode()):
                yield at, what


def in_text(text: str) -> tuple[Form, ...]:
    """The forms whose marks occur in a text: those that its lines have to be searched for."""
    lower = text.lower()
    return tuple(form for form in _forms() if any(mark in lower for mark in form.marks))


def in_line(line: str, forms: Sequence[Form], *, program: bool = False) -> Iterator[tuple[int, str]]:
    """Where in a line secrets of these forms stand, and what they are.

    Args:
        program: whether the line is source code, in which an unquoted word is a name and not a value.
    """
    lower = line.lower()
    for form in forms:
        if any(mark in lower for mark in form.marks):
            for at in form.find(line, program):
                yield at, form.what


#: Detectors of detect-secrets (module, class), what they find, and the marks of it.
_THEIRS = (
    ("aws", "AWSKeyDetector", "an AWS access key", ("akia", "asia", "abia", "acca", "a3t", "aws")),
    ("azure_storage_key", "AzureStorageKeyDetector", "an Azure storage key", ("accountkey=",)),
    ("basic_auth", "BasicAuthDetector", "a password in a URL", ("://",)),
    ("github_token", "GitHubTokenDetector", "a GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    ("gitlab_token", "GitLabTokenDetector", "a GitLab token", ("gl", "gr1348941")),
    ("jwt", "JwtTokenDetector", "a JSON Web Token", ("eyj",)),
    ("mailchimp", "MailchimpDetector", "a Mailchimp key", ("-us",)),
    ("npm", "NpmDetector", "an npm token", ("_authtoken",)),
    ("openai", "OpenAIDetector", _OPENAI, ("t3blbkfj",)),
    ("private_key", "PrivateKeyDetector", "a private key", ("private key", "putty-user-key-file")),
    ("pypi_token", "PypiTokenDetector", "a PyPI token", ("pypi-age",)),
    ("sendgrid", "SendGridDetector", "a SendGrid key", ("sg.",)),
    ("slack", "SlackDetector", "a Slack token", ("xox", "hooks.slack.com")),
    ("square_oauth", "SquareOAuthDetector", "a Square secret", ("sq0csp-",)),
    ("stripe", "StripeDetector", "a Stripe key", ("k_live_",)),
    ("telegram_token", "TelegramBotTokenDetector", "a Telegram bot token", (":aa",)),
)


@functools.cache
def _forms() -> tuple[Form, ...]:
    theirs = []
    for module, name, what, marks in _THEIRS:
        plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
        theirs.append(Form(marks, functools.partial(_detected, plugin), what))
    named = ("pass", "pwd", "secret", "token", "key", "credential")
    return (
        *theirs,
        Form(("://",), _urls, "a password in a URL"),
        Form(("bearer", "authorization"), lambda line, _: _starts(_BEARER, line), "an authorization header"),
        Form(named, _assignments, "a password or key beside its name"),
    )


def _detected(plugin, line: str, program: bool) -> Iterator[int]:
    """Where a detector of detect-secrets finds something that is not the middle of a longer word."""
    for secret in plugin.analyze_string(line):
        for at in _starts(re.escape(secret), line):
            if not (at and line[at - 1].isalnum() and secret[0].isalnum()) and not _NO_SECRET.fullmatch(secret):
                yield at


def _starts(pattern: str | re.Pattern, line: str) -> Iterator[int]:
    return (found.start() for found in re.finditer(pattern, line))


def _urls(line: str, program: bool) -> Iterator[int]:
    yield from (found.start() for found in _URL.finditer(line) if not re.fullmatch(r"\W+|[$%{].*", found[1]))
    yield from _starts(_URL_TOKEN, line)


def _assignments(line: str, program: bool) -> Iterator[int]:
    yield from (found.start() for found in _ASSIGNED.finditer(line) if _is_secret(found, program))


def _is_secret(found: re.Match, program: bool) -> bool:
    name, sign, quote, value, after = found.groups()
    if _NO_SECRET.fullmatch(value) or after in ("(", "["):
        return False
    if program and not quote and not name.startswith("-") and (sign == ":" or _NAME_IN_CODE.fullmatch(value)):
        return False
    if _KEY.search(name) or _VARIABLE.search(name):
        return bool(_KEY_VALUE.fullmatch(value))
    if not _PASSWORD.search(name):
        return False
    if quote:
        return True
    return "=" in sign or bool(_MIXED.fullmatch(value))  # `password: sunshine` is talk as often as it is a secret
