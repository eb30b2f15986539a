"""No token gets out: whatever file it is in, wherever in it, in whatever form."""

from __future__ import annotations

import random

import pandas as pd
import pytest

from smilerl.models.hub.ids import HubError
from smilerl.publish import contents, scan
from smilerl.publish.contents import Item

NOTHING = scan.Values({})
#: Put together here, so that this file holds no token itself.
SECRETS = {
    "hugging face": "hf_" + "aB3" * 12,
    "openai": "sk-" + "proj-" + "aB3_" * 10,
    "anthropic": "sk-" + "ant-api03-" + "aB3-" * 10,
    "aws": "AKIA" + "IOSFODNN7" + "EXAMPLE",
    "aws secret": "aws_secret_" + "access_key = " + "wJalr/" * 6 + "abcd",
    "github": "ghp_" + "aB3d" * 9,
    "github fine": "github_" + "pat_" + "aB3_" * 8,
    "private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
    "pgp": "-----BEGIN " + "PGP PRIVATE KEY BLOCK-----",
}


@pytest.mark.parametrize("form", SECRETS)
def test_every_form_is_found_in_the_middle_of_bytes(form):
    noise = random.Random(0).randbytes(5000)
    data = noise + b"\x00" + SECRETS[form].encode() + b"\x00" + noise
    (hit,) = scan.scan("model/a.bin", data, NOTHING)
    assert hit.place == "byte 5001" and hit.file == "model/a.bin"
    assert SECRETS[form] not in str(hit)


def test_a_token_across_the_seam_of_two_pieces_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "_CHUNK", 8192)
    for at in (8192 - 20, 8192 - 1, 8192, 3 * 8192 - 5):
        (tmp_path / "weights").write_bytes(b"\x01" * at + SECRETS["hugging face"].encode() + b"\x01" * 9000)
        (hit,) = scan.scan("weights", tmp_path / "weights", NOTHING)
        assert hit.place == f"byte {at}"


def test_a_token_in_a_compressed_column_is_found(tmp_path):
    replies = [f"nothing to see {row}" for row in range(500)]
    replies[321] = f"my key is {SECRETS['openai']}, keep it safe. " * 3
    table = pd.DataFrame({"completion": replies, "acts": [["comfort"]] * 500, "wellbeing": 0.5})
    table.to_parquet(tmp_path / "samples.parquet", compression="gzip", write_statistics=False)
    assert SECRETS["openai"].encode() not in (tmp_path / "samples.parquet").read_bytes()
    (hit,) = scan.scan("samples.parquet", tmp_path / "samples.parquet", NOTHING)
    assert hit.place == "column completion, row 321"


def test_a_token_in_a_nested_column_is_found(tmp_path):
    prompts = [[{"role": "user", "content": "hello"}], [{"role": "user", "content": SECRETS["github"]}]]
    pd.DataFrame({"prompt": prompts}).to_parquet(tmp_path / "a.parquet", compression="gzip", write_statistics=False)
    assert [hit.place for hit in scan.scan("a.parquet", tmp_path / "a.parquet", NOTHING)] == ["column prompt, row 1"]


def test_a_password_in_a_column_s_name_in_a_struct_and_in_the_metadata_is_found():
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    said = "pass" + "word=correcthorse"
    tables = {
        "the name of column 0": pa.table({said: [1]}),
        "column who, row 1": pa.table({"who": [None, {"pass" + "word": "correcthorse"}]}),
        "its metadata": pa.table({"n": [1]}).replace_schema_metadata({"from": f"db --{said}"}),
    }
    for place, table in tables.items():
        out = io.BytesIO()
        pq.write_table(table, out, compression="gzip")
        assert [hit.place for hit in scan.scan("a.parquet", out.getvalue(), NOTHING)] == [place]


def test_a_header_of_weights_is_read_as_text():
    header = b'{"__metadata__": {"from": "https://ann:' + b'correct@db.example.org"}}'
    data = len(header).to_bytes(8, "little") + header
    (hit,) = scan.scan("model.safetensors", data, NOTHING)
    assert hit.place == "its header" and hit.what == "a password in a URL"


def test_this_process_s_own_secrets_are_found_whatever_they_look_like():
    values = scan.own_secrets(
        {
            "MY_API_KEY": "plainwords",
            "WANDB_API_KEY": "f" * 40,
            "TOKENIZERS_PARALLELISM": "false",
            "HOME_TOKEN": "short",
        }
    )
    assert set(values.by_name) == {"the value of MY_API_KEY", "the value of WANDB_API_KEY"}
    assert "plainwords" not in repr(values)
    (hit,) = scan.scan("a.json", b'{"key": "plainwords"}', values)
    assert hit.what == "the value of MY_API_KEY" and hit.place == "byte 9"
    (wide,) = scan.scan("a.bin", "xx plainwords".encode("utf-16-le"), values)
    assert wide.place == "byte 6"


@pytest.mark.parametrize(
    "text",
    ["hf_hub_download_and_a_very_long_name_that_goes_on", "a task-oriented-and-risk-averse-helper-of-mine-2", "sk-learn-and-other-libraries-of-note",
     "XAKIAIOSFODNN7EXAMPLE", "-----BEGIN PUBLIC KEY-----", "ghp_short", "the model hf_" + "x" * 10],
)  # fmt: skip
def test_ordinary_text_is_no_secret(text):
    assert scan.scan("a.txt", text.encode(), NOTHING) == []


def test_random_weights_are_no_secret():
    assert scan.scan("model.safetensors", random.Random(1).randbytes(4 << 20), NOTHING) == []


def test_the_refusal_names_file_and_place_and_never_the_secret():
    items = [Item("good.json", b"{}"), *(Item(f"{n}.bin", SECRETS["hugging face"].encode()) for n in range(12))]
    with pytest.raises(HubError) as refused:
        contents.refuse_secrets(items, NOTHING)
    said = str(refused.value)
    assert "0.bin, byte 0: a Hugging Face token" in said and "and 4 more" in said and "nothing was sent" in said
    assert SECRETS["hugging face"] not in said and len(said.splitlines()) <= 11
