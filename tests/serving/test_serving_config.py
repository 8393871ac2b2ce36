"""A configuration that is wrong is one line: file, key, rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vigilia.errors import OptionError
from vigilia.serving.config import ServeConfig, read_config

STREAM = '[[streams]]\nname = "a"\nsource = "rtsp://eve:s3cret@cam/1"\n'


def read(folder: Path, text: str):
    path = folder / "serve.toml"
    path.write_text(text)
    return read_config(path)


def test_everything_has_a_default_but_the_streams_name_and_source(tmp_path: Path) -> None:
    config = read(tmp_path, STREAM)
    assert config.bind.loopback
    assert config.data == tmp_path / "vigilia-data"
    assert config.streams[0].kind == "address"
    assert config.streams[0].shown_source == "rtsp://cam/1"
    assert "s3cret" not in repr(config)


def test_passwords_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAM", "pw")
    text = STREAM.replace("s3cret", "${CAM}")
    assert read(tmp_path, text).streams[0].source == "rtsp://eve:pw@cam/1"
    monkeypatch.delenv("CAM")
    with pytest.raises(OptionError, match="CAM is not set"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("modle = 'pen'", "modle: there is no such key; did you mean model?"),
        ("bind = '0.0.0.0:80'", "token: is needed"),
        ("bind = 'here'", "bind: must be HOST:PORT"),
        ("token = 'short'", "token: must be at least 16"),
        ("batch = 0", "batch: must be a whole number from 1"),
        ("snapshot_seconds = nan", "snapshot_seconds: must be a number"),
        ("streams = 3", "streams: must be tables"),
        ("recordings = ['nowhere']", "recordings:"),
        (STREAM + "follow = true", "streams[0]: follow: goes with a folder"),
        (STREAM + "hysteresis = 2", "streams[0]: hysteresis"),
        (STREAM + "wall_start = 2026-11-21T02:00:00Z", "streams[0]: wall_start: a camera starts"),
        (STREAM + STREAM.replace('"a"', '"A"'), "streams: the name 'A' is given twice"),
        (STREAM.replace('"a"', '"../a"'), "streams[0]: name: must be"),
        (STREAM.replace("rtsp", "file"), "streams[0]: source: an address begins with"),
        ("[[webhooks]]\nurl = 'ftp://x'", "webhooks[0]: url: must begin with http"),
        ("[mqtt]\nhost = 'b'\nprefix = 'a/#'", "mqtt: prefix"),
        ("= 3", "is not valid TOML"),
        ("batch = " + "9" * 5000, "holds a value that is too long"),
        ("a = " + "[" * 5000, "holds a value that is too long or too deep"),
        ("retention_days = " + "9" * 400, "retention_days: must be a number"),
        ("bind = '127.0.0.1:" + "9" * 5000 + "'", "bind: must be HOST:PORT"),
        ('data = "a\\u0000"', "data: must be text on one line"),
        ("recordings = ['~nosuchuser']", "recordings:"),
        ("recordings = ['" + "a" * 5000 + "']", "recordings:"),
        (STREAM.replace("@cam/", "@[x/"), "streams[0]: source: the address cannot be read"),
        (STREAM.replace("cam/1", "cam:no/1"), "streams[0]: source: the address cannot be read"),
        (STREAM.replace("@cam", "@"), "streams[0]: source: the address names no host"),
        ("[[webhooks]]\nurl = 'http://[x'", "webhooks[0]: url: must begin with http"),
        ("[[webhooks]]\nurl = 'http://x:no/'", "webhooks[0]: url: must begin with http"),
    ],
)
def test_a_wrong_value_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(OptionError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "serve.toml"))
    assert told in message
    assert len(message.splitlines()) == 1
    assert "s3cret" not in message


@pytest.mark.parametrize("source", ["~nosuchuser/x.mp4", "a" * 5000, "videos/\u732a.mp4"])
def test_a_file_that_is_not_there_is_no_mistake_of_the_configuration(
    tmp_path: Path, source: str
) -> None:
    options = read(tmp_path, f'[[streams]]\nname = "a"\nsource = "{source}"\n').streams[0]
    assert options.kind == "file"
    assert options.source == str(tmp_path / source)


YAML = """\
model: pen
retention_days: 30
bind: 127.0.0.1:8401
streams:
  - name: a
    source: rtsp://eve:${CAM}@cam/1?a=*b&c=d
    hysteresis: 0.1
  - {name: b, source: /videos/b.mp4, wall_start: 2026-11-21T02:00:00+01:00}
webhooks:
  - url: https://x/y
    streams: [a]
"""


def read_yaml(folder: Path, text: str):
    pytest.importorskip("yaml")
    path = folder / "serve.yaml"
    path.write_text(text)
    return read_config(path)


def test_yaml_says_what_toml_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM", "pw")
    toml = """\
        model = "pen"
        retention_days = 30
        bind = "127.0.0.1:8401"
        [[streams]]
        name = "a"
        source = "rtsp://eve:${CAM}@cam/1?a=*b&c=d"
        hysteresis = 0.1
        [[streams]]
        name = "b"
        source = "/videos/b.mp4"
        wall_start = 2026-11-21T02:00:00+01:00
        [[webhooks]]
        url = "https://x/y"
        streams = ["a"]
    """
    config = read_yaml(tmp_path, YAML)
    assert replace(config, path=tmp_path / "serve.toml") == read(tmp_path, toml)
    assert config.streams[0].source == "rtsp://eve:pw@cam/1?a=*b&c=d"
    assert read_yaml(tmp_path, "") == ServeConfig(tmp_path / "serve.yaml", data=config.data)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: pen\npassword: s3cret: x\n", "is not valid YAML: mapping values"),
        ("model: pen\npassword: s3cret: x\n", "(line 2, column 17)"),
        ("token: !s3cret\n", "is not valid YAML: could not determine"),
        ("token: 's3cret\n", "is not valid YAML"),
        ("token: s3cret\0\n", "is not valid YAML: special characters"),
        ("wall: 2026-13-45\n", "a value that YAML cannot read"),
        ("token: !!int s3cret\n", "a value that YAML cannot read"),
        ("a: " + "[" * 5000, "a value that YAML cannot read"),
        ("a: &b s3cret\nc: *b\n", "anchors and aliases are not allowed"),
        ("a: &-a [s3cret]\nc: [*-a, *-a]\n", "anchors and aliases are not allowed"),
        ("a: [x,&é s3cret]\n", "is not valid YAML: expected alphabetic"),
        ("- s3cret\n", "must be a table"),
        ("1: s3cret\n", "must be a table"),
    ],
)
def test_wrong_yaml_is_one_line_without_what_the_file_holds(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(OptionError) as caught:
        read_yaml(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "serve.yaml"))
    assert told in message
    assert len(message.splitlines()) == 1
    assert "s3cret" not in message


def test_the_environments_token_goes_before_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("the-token-of-the-file\n")
    by_file = 'token_file = "token"\n'
    assert read(tmp_path, by_file).token == "the-token-of-the-file"
    assert read(tmp_path, 'token = "the-token-that-is-here"').token == "the-token-that-is-here"
    monkeypatch.setenv("VIGILIA_TOKEN", "the-token-of-the-environment")
    assert read(tmp_path, by_file).token == "the-token-of-the-environment"
    config = read(tmp_path, 'bind = "0.0.0.0:8400"')
    assert config.token == "the-token-of-the-environment"
    assert not config.bind.loopback
    monkeypatch.setenv("VIGILIA_TOKEN", "short")
    with pytest.raises(OptionError, match="token: must be at least 16"):
        read(tmp_path, by_file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('token_file = "token"\ntoken = "the-token-that-is-here"', "token_file: token is given"),
        ('token_file = "nowhere"', "token_file: the file cannot be read"),
        ('token_file = "bytes"', "token_file: the file cannot be read"),
        ('token_file = "short"', "token: must be at least 16"),
        ('token_file = "empty"\nbind = "0.0.0.0:80"', "token: is needed to listen on 0.0.0.0"),
    ],
)
def test_a_token_that_cannot_be_had_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "token").write_text("the-token-of-the-file")
    (tmp_path / "bytes").write_bytes(b"\xff" * 20)
    (tmp_path / "short").write_text("s3cret")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(OptionError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)
