"""Secrets and paths of the machine, planted in every kind of file that a push sends: refused by name, or gone from what is sent.

Everything secret here is made up, and put together when the test runs, so that this file holds nothing that a scanner would flag.
"""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import escape

from smilerl.config.yaml_lines import dump
from smilerl.models.hub.ids import HubError
from smilerl.publish import contents, push, scan
from smilerl.publish.contents import Item
from smilerl.runs import seals
from smilerl.runs.directory import write_json
from smilerl.studies.report import escape_markdown

MIXED = "aB3dE6gH9" * 6
OWN = "plain-words-of-" + "our-own"
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg": "HS256", "typ": "JWT"}', b'{"sub": "1234567890"}', b"0123456789abcdef")
)
HF = "hf_" + MIXED[:34]
SECRETS: dict[str, str] = {
    "hugging face": HF,
    "hugging face organisation": "api_" + "org_" + MIXED[:34],
    "openai": "sk-" + "proj-" + MIXED,
    "anthropic": "sk-" + "ant-api03-" + MIXED,
    "groq": "gs" + "k_" + MIXED[:52],
    "replicate": "r" + "8_" + MIXED[:37],
    "nvidia": "nva" + "pi-" + MIXED,
    "xai": "xa" + "i-" + MIXED,
    "wandb, new": "wandb_" + "v1_" + MIXED,
    "wandb": "WANDB_API_" + "KEY=" + "0123456789abcdef" * 2 + "01234567",
    "a variable": "export MY_SERVICE_" + "TOKEN='" + MIXED[:30] + "'",
    "aws": "AKI" + "A" + "IOSFODNN7EXAMPLE",
    "aws secret": "aws_secret_" + "access_key = " + "wJalr/" * 6 + "abcd",
    "github": "gh" + "p_" + "aB3d" * 9,
    "github, fine": "github_" + "pat_" + MIXED,
    "gitlab": "glp" + "at-" + MIXED[:20],
    "slack": "xox" + "b-123456789012-123456789012-" + MIXED[:24],
    "slack hook": "https://hooks." + "slack.com/services/" + "T00000000/B00000000/" + MIXED[:24],
    "google": "AIz" + "a" + MIXED[:35],
    "private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
    "putty": "PuTTY-User-" + "Key-File-3: ssh-ed25519",
    "url": "https://ann:" + "correct-horse" + "@git.example.org/repo",
    "database": "postgresql://ann:" + "s3cr=t!" + "@db.example.org/runs",
    "token in a url": "https://" + MIXED[:24] + "@example.org/x",
    "password": "--tracker.pass" + "word=correcthorse",
    "password in code": "connect(pass" + "word='correct horse')".replace(" horse", "horse"),
    "jwt": JWT,
    "bearer": "Bear" + "er " + MIXED[:40],
    "basic": "Authoriz" + "ation: Basic " + base64.b64encode(b"ann:correcthorse").decode(),
    "npm": "np" + "m_" + MIXED[:36],
    "pypi": "py" + "pi-AgEIcHlwaS5vcmc" + MIXED + MIXED,
    "sendgrid": "S" + "G." + MIXED[:22] + "." + MIXED[:43],
    "stripe": "sk_" + "live_" + MIXED[:24],
    "azure": "Account" + "Key=" + (MIXED + MIXED)[:86] + "==",
    "base64": base64.b64encode(f"the key is {HF}".encode()).decode(),
    "hexadecimal": HF.encode().hex(),
    "json's escapes": HF.replace("f_", "\\u0066_"),
    "a url's escapes": HF.replace("_", "%5F"),
    "html's escapes": HF.replace("_", "&#95;"),
    "utf-16 in base64": base64.b64encode(HF.encode("utf-16-le")).decode(),
    "our own": OWN,
    "our own in base64": base64.b64encode(f"xx{OWN}".encode()).decode(),
    "our own in hexadecimal": OWN.encode().hex(),
}

MARK = "zebra7"
PATHS = (
    f"/home/{MARK}/notes.txt", f"/Users/{MARK}/Documents/x", f"/mnt/{MARK}/x.json", f"/data/{MARK}/people.jsonl", f"/scratch/{MARK}/runs/1",
    f"/workspace/{MARK}/a/b", f"/root/{MARK}/x", f"/tmp/{MARK}/y.txt", f"/var/{MARK}/z", f"/opt/{MARK}/tool/z", f"/media/{MARK}/disk", f"/private/var/{MARK}/x",
    f"/Volumes/{MARK}/x", f"/gpfs/users/{MARK}/x", f"C:\\Users\\{MARK}\\x.txt", f"D:\\data\\{MARK}\\x.txt", f"E:/data/{MARK}/x.txt", f"\\\\server\\{MARK}\\x",
    f"\\\\{MARK}\\share\\x", f"file:///home/{MARK}/x", f"file://{MARK}/share/x", f"%2Fhome%2F{MARK}%2Fx.txt", f"PATH=/usr/bin:/home/{MARK}/bin",
    f"/home/{MARK}_b/my_file.txt", f"see\n/mnt/{MARK}/x.txt", f"--data.path=/mnt/{MARK}/x.json",
)  # fmt: skip


def parquet(text: str, **columns) -> bytes:
    """A table whose pages are compressed and whose statistics tell nothing."""
    out = io.BytesIO()
    table = pd.DataFrame({"prompt": ["hello", "hi"], "completion": ["good day", text], **columns})
    table.to_parquet(out, compression="gzip", write_statistics=False)
    return out.getvalue()


def weights(text: str) -> bytes:
    """A safetensors file that says so in its header."""
    tensor = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    header = json.dumps({"__metadata__": {"format": "pt", "from": text}, "w": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(range(16))


def plain_json(key: str) -> Callable[[str], bytes]:
    return lambda text: json.dumps({"n": 3, key: text}, indent=2, ensure_ascii=False).encode()


def vocabulary(text: str) -> bytes:
    words = {"<pad>": 0, "\u0120password": 1, "://": 2, "\u0120secret": 3, "/home": 4, "/usr/bin": 5}
    return json.dumps({"model": {"vocab": words, "from": text}}, ensure_ascii=False).encode()


#: Every kind of file that a push sends, with a text in it as it would get there.
ARTEFACTS: dict[str, Callable[[str], bytes]] = {
    "README.md": lambda text: f"# A run\n\n- **Goal**: {escape_markdown(text)}\n".encode(),
    "recipe.yaml": lambda text: dump({"method": "rloo", "story": {"goal": text}}).encode(),
    "manifest.json": plain_json("command"),
    "metrics.jsonl": lambda text: (json.dumps({"step": 1}) + "\n" + json.dumps({"step": 2, "said": text}) + "\n").encode(),
    "samples/step-000010.parquet": parquet,
    "evals/quick/results.json": plain_json("policy"),
    "evals/quick/own_reward.json": plain_json("why"),
    "evals/quick/samples.parquet": parquet,
    "config.json": plain_json("_name_or_path"),
    "generation_config.json": plain_json("from"),
    "tokenizer_config.json": plain_json("name_or_path"),
    "tokenizer.json": vocabulary,
    "chat_template.jinja": lambda text: f"{{# {text} #}}{{{{ messages }}}}".encode(),
    "model.safetensors": weights,
    "code/mine.py": lambda text: f'"""A reward.\n\n{text}\n"""\n'.encode(),
    "study/study.json": plain_json("question"),
    "study/report.html": lambda text: f"<!doctype html><p>{escape(text)}</p>".encode(),
    "study/report.md": lambda text: f"# {escape_markdown(text)}\n".encode(),
    "study/tables/runs.parquet": lambda text: parquet("", error=["", text]),
    "study/figures/triangle.svg": lambda text: f"<svg><text>{escape(text)}</text></svg>".encode(),
    "people.jsonl": lambda text: (json.dumps({"prompt": text}) + "\n").encode(),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.attack("secrets")
@pytest.mark.parametrize("kind", ARTEFACTS)
def test_no_secret_gets_out(kind, record_property):
    values = scan.own_secrets({"OUR_OWN_PLACE": OWN}, named=["OUR_OWN_PLACE"])
    through = [
        name for name, secret in SECRETS.items() if not scan.scan(kind, ARTEFACTS[kind](f"it is {secret} , so"), values)
    ]
    assert not through
    record_property("tried", len(SECRETS))


@pytest.mark.slow
@pytest.mark.attack("secrets")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["merges.txt", "people.jsonl", "code/mine.py", "pytorch_model.bin"])
def test_no_secret_gets_out_in_utf_16(name, encoding):
    assert scan.scan(name, f"nothing here\nbut {HF} is".encode(encoding), scan.Values({}))


@pytest.mark.slow
@pytest.mark.attack("paths")
@pytest.mark.parametrize("kind", ARTEFACTS)
def test_no_path_gets_out(kind, record_property, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = tmp_path / MARK / "deep"
    here.mkdir(parents=True)
    tried, through = [*PATHS, f"{here}/x.txt"], []
    for path in tried:
        item = Item(kind, ARTEFACTS[kind](f"it is {path} , so"))
        said = ""
        try:
            (told,) = contents.without_places([item], {})
        except HubError as refused:
            said = str(refused)
        if said:
            assert kind in said and MARK not in said
            continue
        assert private_is_rewritten(kind), f"{path} in {kind} is rewritten"
        if MARK in told.source.decode():
            through.append(path)
        elif kind.endswith(".json"):
            json.loads(told.source)
    assert not through
    record_property("tried", len(tried))


def private_is_rewritten(kind: str) -> bool:
    """Whether paths in such a file are rewritten, and do not stop the push."""
    return kind.endswith((".md", ".yaml", ".html", ".svg", "metrics.jsonl")) or (
        kind.endswith(".json") and kind != "tokenizer.json"
    )


@pytest.mark.slow
@pytest.mark.attack("paths")
def test_a_link_that_leads_out_stops_the_push(tmp_path):
    run, outside = tmp_path / "run", tmp_path / "outside"
    for folder in (run / "model", run / "evals", outside / "quick"):
        folder.mkdir(parents=True)
    (outside / "notes.json").write_text("{}")
    (outside / "quick" / "results.json").write_text("{}")
    (run / "model" / "config.json").write_text("{}")
    (run / "model" / "notes.json").symlink_to(outside / "notes.json")
    with pytest.raises(HubError, match="link to a file outside"):
        contents.refuse_links(contents.of_model(run / "model")[0], [run])
    (run / "evals" / "quick").symlink_to(outside / "quick")
    with pytest.raises(HubError, match="link to a file outside"):
        contents.refuse_links([Item("evals/quick/results.json", run / "evals" / "quick" / "results.json")], [run])
    (outside / "id").write_text("a key")
    (tmp_path / "mine.py").symlink_to(outside / "id")
    with pytest.raises(HubError, match="link to a file outside"):
        contents.refuse_links([Item("code/mine.py", tmp_path / "mine.py")], [run])
    (run / "model" / "notes.json").unlink()
    (run / "model" / "notes.json").symlink_to("config.json")
    contents.refuse_links(contents.of_model(run / "model")[0], [run])


@pytest.mark.parametrize("kind", ["manifest.json", "recipe.yaml", "README.md", "study/report.html"])
def test_an_address_of_the_command_is_taken_out_and_one_in_a_reply_stays(kind):
    address = "ann_b.miller+x@" + "lab.example.org"
    command = f"smilerl train mine.yaml --story.goal='ask {address}'"
    item = Item(kind, ARTEFACTS[kind](f"{command}; help@example.com, git@github.com:org/x"))
    (told,) = contents.without_places([item], {}, [json.dumps({"command": command})])
    said = told.source.decode()
    assert "lab.example.org" not in said and "miller" not in said
    assert "help@example.com" in said and "git@github.com" in said


def test_the_variable_that_an_endpoint_names_is_looked_for():
    recipe = "world:\n  args: {speaker: {name: endpoint, key_env: LAB_DOOR}}\n"
    judge = json.dumps({"judge": {"key_env": "OTHER_DOOR"}})
    assert scan.key_variables(recipe) | scan.key_variables(judge) == {"LAB_DOOR", "OTHER_DOOR"}
    values = scan.own_secrets({"LAB_DOOR": OWN, "NO_DOOR": OWN + "2"}, named=["LAB_DOOR"])
    assert set(values.by_name) == {"the value of LAB_DOOR"}


def whole_push(run) -> dict[str, bytes]:
    """All that a push of a run would send."""
    items = push.prepare(str(run.path), push.Options(to="org/one")).parcel.items
    return {item.name: item.source if isinstance(item.source, bytes) else item.source.read_bytes() for item in items}


@pytest.mark.slow
@pytest.mark.attack("secrets")
def test_a_whole_push_is_looked_through(make_run, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_DOOR", OWN)
    address, here = "ann@" + "lab.example.org", tmp_path / "runs" / "one"
    speaker = {"name": "endpoint", "args": {"url": "http://127.0.0.1:9/v1", "model": "m", "key_env": "LAB_DOOR"}}
    run = make_run("one", story={"goal": f"Ask {address}, see /mnt/{MARK}/x.md"})
    write_json(
        run.path / "manifest.json",
        run.manifest | {"command": f"smilerl train {here} --mail={address}", "judge": speaker},
    )
    seals.seal_run(run.path)
    sent = b"".join(whole_push(run).values())
    assert MARK.encode() not in sent and address.encode() not in sent and str(tmp_path).encode() not in sent
    for row, says in (
        ({"step": 3, "said": OWN}, "the value of LAB_DOOR"),
        ({"step": 3, "said": SECRETS["jwt"]}, "a JSON Web Token"),
        ({"step": 3, "said": SECRETS["url"]}, "a password in a URL"),
    ):
        lines = run.metrics_path.read_text()
        run.metrics_path.write_text(lines + json.dumps(row) + "\n")
        seals.seal_run(run.path)
        with pytest.raises(HubError, match=f"metrics.jsonl, .*{says}"):
            whole_push(run)
        run.metrics_path.write_text(lines)
    (tmp_path / "elsewhere.json").write_text("{}")
    (run.model / "more.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(HubError, match=r"more\.json is a link to a file outside"):
        whole_push(run)


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory) -> list[Path]:
    """A tokenizer of 5,000 words of English and Python, and the report of a study."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from smilerl.io import paths
    from smilerl.studies import report
    from tests.studies.synthetic import write_study

    folder = tmp_path_factory.mktemp("ordinary")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    texts = [*paths.PACKAGE.glob("*.py"), *paths.share().glob("data/**/people*.jsonl")]
    trainer = trainers.BpeTrainer(
        vocab_size=5000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator((file.read_text(encoding="utf-8") for file in texts), trainer)
    bpe.save(str(folder / "tokenizer.json"))
    vocabulary = bpe.get_vocab()
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(vocabulary))
    study = write_study(folder / "study")
    report.write(study)
    data = [*paths.share().glob("data/*/people*.jsonl"), *paths.share().glob("data/README.md")]
    return [file for file in [*folder.rglob("*"), *data] if file.is_file()]


@pytest.mark.slow
@pytest.mark.attack("nothing secret at all")
def test_an_ordinary_parcel_passes(ordinary, checkpoint, record_property):
    hashes = json.dumps({"sha": "0123456789abcdef0123456789abcdef01234567", "content_hash": "ab12" * 16, "base": "org/name@" + "9f" * 20,
                         "said": "😀 my password is a secret; what's the key? A:\nB:\nC:\n1/2/3 and/or/but https://a.org/home/x/y"})  # fmt: skip
    more = {
        "manifest.json": hashes.encode(),
        "tokenizer_config.json": b'{"eos_token": "<|im_end|>", "pad_token": "<|reserved_special_token_12|>", "hub_token": null}',
        "special_tokens_map.json": b'{"bos_token": "reserved_special_token_120", "image_token": "special_image_token_2"}',
        "code/mine.py": b"#!/usr/bin/env python\nimport os\ntoken = os.environ['HF_TOKEN']\npassword = getpass()\n"
        b"def login(password: str, api_key=None, secret=secret): return f(api_key=settings.api_key2, password=password)\n",
        "recipe.yaml": b"key_env: OPENAI_API_KEY\nhub_token: null\nsystem: |\n  Q:\\nA:\\nB:\\n answer\n",
    }
    models = [file for name in ("qwen3", "roberta") for file in Path(checkpoint(name)).iterdir()]
    items = [Item(file.name, file) for file in [*ordinary, *models]] + [Item(name, data) for name, data in more.items()]
    hits = [str(hit) for item in items for hit in scan.scan(item.name, item.source, scan.Values({}))]
    assert not hits
    for item in items:
        (told,) = contents.without_places([item], {})
        assert told is item, f"{item.name} is changed"
    record_property("tried", len(items))
