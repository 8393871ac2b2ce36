"""The service's configuration: one file, read once, every key checked before anything is opened."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vigilia.errors import MissingExtraError, OptionError
from vigilia.serving.fields import Fields
from vigilia.serving.stream_options import StreamOptions, stream_options

__all__ = ["Bind", "MqttOptions", "ServeConfig", "WebhookOptions", "parse_bind", "read_config"]

TOKEN_VARIABLE = "VIGILIA_TOKEN"
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Bind:
    """Where the service listens."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True)
class WebhookOptions:
    """An address that is told of every change of state.

    Attributes:
        url: may hold a password; never shown.
        streams: names; empty for all.
        secret: signs what is sent; empty for no signature.
    """

    url: str
    streams: tuple[str, ...] = ()
    secret: str = ""

    def __repr__(self) -> str:
        return f"WebhookOptions({urlsplit(self.url).hostname!r})"


@dataclass(frozen=True)
class MqttOptions:
    """A broker that is told every state.

    Attributes:
        host: of the broker.
        port: likewise.
        username: empty for none.
        password: empty for none; never shown.
        tls: encrypted, by the system's certificates.
        prefix: of all topics.
        discovery: whether Home Assistant finds the streams by itself.
    """

    host: str
    port: int = 1883
    username: str = ""
    password: str = ""
    tls: bool = False
    prefix: str = "vigilia"
    discovery: bool = True

    def __repr__(self) -> str:
        return f"MqttOptions({self.host!r}, {self.port})"


@dataclass(frozen=True)
class ServeConfig:
    """Everything `vigilia serve` is told.

    Attributes:
        path: the file, for messages.
        streams: in the file's order.
        model: name or file, see `vigilia.models.resolve_model`.
        data: folder of journal and snapshots.
        bind: where it listens.
        token: that clients must know; empty for none, on loopback only.
        device: where the model runs.
        fps, clip_frames, stride_frames: as in `vigilia.run`; None for the model's own.
        batch: streams stepped together; None for 1 on a CPU and 16 elsewhere.
        most_streams: the memory for so many is taken at the start.
        snapshot_seconds: how often a stream's state is saved; None for as often as its size bears,
            see `vigilia.serving.snapshot_pace`.
        retention_days: how long probabilities of streams without an end are kept; 0 for ever.
        recordings: folders whose files may be added over HTTP; none if empty.
        allowed_hosts: names under which the service may be addressed, beside its own.
        webhooks: addresses told of changes.
        mqtt: a broker; None for none.
        text_logs: logs for people in place of JSON.
    """

    path: Path
    streams: tuple[StreamOptions, ...] = ()
    model: str = "pen"
    data: Path = Path("vigilia-data")
    bind: Bind = Bind("127.0.0.1", 8400)
    token: str = ""
    device: str = "cpu"
    fps: float | None = None
    clip_frames: int | None = None
    stride_frames: int | None = None
    batch: int | None = None
    most_streams: int = 16
    snapshot_seconds: float | None = None
    retention_days: float = 0.0
    recordings: tuple[Path, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    webhooks: tuple[WebhookOptions, ...] = ()
    mqtt: MqttOptions | None = None
    text_logs: bool = False

    def __repr__(self) -> str:
        return f"ServeConfig({self.path}, {len(self.streams)} streams, {self.bind})"


def read_config(path: str | Path) -> ServeConfig:
    """Reads a configuration in TOML, or in YAML where PyYAML is installed.

    Relative paths in it count from its folder. The token may also come from the environment
    variable VIGILIA_TOKEN, which goes first, or from `token_file`.

    Raises:
        OptionError: the file cannot be read, or a value breaks its rule: file, key, rule.
        MissingExtraError: it is YAML and PyYAML is not installed.
    """
    path = Path(path)
    top = Fields(str(path), _load(path))
    folder = path.resolve().parent
    bind = parse_bind(top)
    token = _token(top, folder)
    if not bind.loopback and not token:
        raise top.fail(
            "token", f"is needed to listen on {bind.host}: others can reach it; or bind 127.0.0.1"
        )
    streams = [
        stream_options(Fields(f"{path}: streams[{number}]", table), folder)
        for number, table in enumerate(top.tables("streams"))
    ]
    _refuse_twice(top, (one.name for one in streams))
    config = ServeConfig(
        path=path,
        streams=tuple(streams),
        model=_model(top, folder),
        data=folder / top.text("data", "vigilia-data"),
        bind=bind,
        token=token,
        device=top.text("device", "cpu"),
        fps=top.optional_number("fps", least=0.01),
        clip_frames=top.optional_whole("clip_frames", least=2),
        stride_frames=top.optional_whole("stride_frames", least=1),
        batch=top.optional_whole("batch", least=1),
        most_streams=top.whole("most_streams", max(16, 2 * len(streams)), most=100_000),
        snapshot_seconds=top.optional_number("snapshot_seconds", least=0.0),
        retention_days=top.number("retention_days", 0.0),
        recordings=_folders(top, folder),
        allowed_hosts=top.texts("allowed_hosts"),
        webhooks=tuple(
            _webhook(Fields(f"{path}: webhooks[{number}]", table), {one.name for one in streams})
            for number, table in enumerate(top.tables("webhooks"))
        ),
        mqtt=_mqtt(top, path),
        text_logs=top.flag("text_logs"),
    )
    top.done()
    if config.most_streams < len(streams):
        raise top.fail("most_streams", f"must be at least the {len(streams)} streams listed")
    return config


def _load(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise OptionError(f"{path}: cannot be read ({reason}); name a TOML file") from error
    if path.suffix.lower() in (".yaml", ".yml"):
        return _yaml(path, text)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{path}: is not valid TOML: {error}") from error
    except (RecursionError, ValueError) as error:  # a number of 5,000 digits
        raise OptionError(f"{path}: holds a value that is too long or too deep") from error


def _yaml(path: Path, text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: YAML needs PyYAML; install it with `pip install pyyaml`, or write TOML"
        ) from error
    try:
        # Aliases can unfold a few lines into gigabytes.
        unfolds = yaml.AnchorToken | yaml.AliasToken
        if not any(isinstance(one, unfolds) for one in yaml.scan(text, Loader=yaml.SafeLoader)):
            return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise OptionError(f"{path}: is not valid YAML: {_brief(error)}") from error
    except (OverflowError, RecursionError, ValueError) as error:  # a day 32, a number of letters
        raise OptionError(f"{path}: holds a value that YAML cannot read; quote it") from error
    raise OptionError(f"{path}: YAML anchors and aliases are not allowed; write it out")


def _brief(error: Any) -> str:
    """Place and kind of a mistake in YAML: the line itself may hold a password, and so may what
    stands in quotes."""
    kind = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    mark = getattr(error, "problem_mark", None)
    place = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
    return re.sub(r"'.*'", "...", " ".join(str(kind).split()))[:160] + place


def parse_bind(top: Fields) -> Bind:
    """`bind`, as HOST:PORT."""
    text = top.text("bind", "127.0.0.1:8400")
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise top.fail("bind", "must be HOST:PORT, such as 127.0.0.1:8400 or 0.0.0.0:8400")
    return Bind(host, int(port))


def _token(top: Fields, folder: Path) -> str:
    token = top.optional_text("token") or ""
    named = top.optional_text("token_file")
    if named is not None:
        if token:
            raise top.fail("token_file", "token is given, too; keep one of them")
        try:
            token = (folder / named).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise top.fail("token_file", "the file cannot be read") from error
    token = os.environ.get(TOKEN_VARIABLE, token)
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise top.fail("token", f"must be at least {SHORTEST_TOKEN} ASCII characters")
    return token


def _model(top: Fields, folder: Path) -> str:
    model = top.text("model", "pen")
    beside = folder / model
    return str(beside) if os.path.isfile(beside) else model


def _folders(top: Fields, folder: Path) -> tuple[Path, ...]:
    # Unlike pathlib's, these raise for nothing that can be written.
    folders = tuple(
        Path(os.path.realpath(folder / os.path.expanduser(one))) for one in top.texts("recordings")
    )
    for one in folders:
        if not os.path.isdir(one):
            raise top.fail("recordings", f"{one} is no folder")
    return folders


def _webhook(fields: Fields, names: set[str]) -> WebhookOptions:
    options = WebhookOptions(
        url=fields.text("url"),
        streams=fields.texts("streams"),
        secret=fields.optional_text("secret") or "",
    )
    fields.done()
    if not _is_web_address(options.url):
        raise fields.fail("url", "must begin with http:// or https:// and name a host")
    for name in options.streams:
        if name not in names:
            raise fields.fail("streams", f"there is no stream named {name!r}")
    return options


def _is_web_address(url: str) -> bool:
    try:
        pieces = urlsplit(url)
        return pieces.scheme in ("http", "https") and bool(pieces.hostname) and pieces.port != 0
    except ValueError:
        return False


def _mqtt(top: Fields, path: Path) -> MqttOptions | None:
    table = top.get("mqtt")
    if table is None:
        return None
    fields = Fields(f"{path}: mqtt", table)
    options = MqttOptions(
        host=fields.text("host"),
        port=fields.whole("port", 8883 if fields.flag("tls") else 1883, most=65535),
        username=fields.optional_text("username") or "",
        password=fields.optional_text("password") or "",
        tls=fields.flag("tls"),
        prefix=fields.text("prefix", "vigilia").strip("/"),
        discovery=fields.flag("discovery", True),
    )
    fields.done()
    if not options.prefix or set("#+") & set(options.prefix):
        raise fields.fail("prefix", "must be a topic without # and +")
    return options


def _refuse_twice(top: Fields, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        # Names become folders, and some file systems do not tell Barn from barn.
        if name.casefold() in seen:
            raise top.fail("streams", f"the name {name!r} is given twice")
        seen.add(name.casefold())
