"""Read the environment, once, into one frozen settings object per process.

Rule 1: every fault is found before anything starts, and all are reported together.
Rule 2: a setting's name, type, default, bounds, unit and meaning stand in one place, its field:
        `TRUNKLINE_` plus the field's name in capitals, unless its Meta says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Meta

from common import redis_url
from common.audio import AudioFormat
from common.errors import SettingsError

__all__ = ["PREFIX", "ProcessSettings", "Setting", "load", "load_all", "settings_of"]

PREFIX = "TRUNKLINE_"


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every process of the system needs, edge and worker alike."""

    redis_url: Annotated[
        str,
        Meta(
            description="where Redis is: redis[s]://, unix://, redis[s]+sentinel:// or redis[s]+cluster://",
            extra={"name": "REDIS_URL"},
        ),
    ] = "redis://127.0.0.1:6379/0"
    index: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="which process of its kind on this machine; added to its port",
        ),
    ] = 0
    namespace: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_.-]{1,64}$",
            description="first part of every Redis key; separates systems that share one Redis",
        ),
    ] = "trunkline"
    lanes: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="hash tags that calls are spread over; the same number in every process",
        ),
    ] = 1
    tick_ms: Annotated[
        float, Meta(ge=1, le=100, description="ms between two polls of Redis while calls live")
    ] = 5.0
    redis_timeout_ms: Annotated[
        int, Meta(ge=50, le=10_000, description="ms to wait for Redis before a request is retried")
    ] = 500
    lease_ms: Annotated[
        int,
        Meta(
            ge=200,
            le=60_000,
            description="ms without a sign of life after which others take a worker's calls over",
        ),
    ] = 1000
    edge_lease_ms: Annotated[
        int,
        Meta(
            ge=1000,
            le=60_000,
            description="ms without a sign of life after which workers end an edge's calls",
        ),
    ] = 5000
    drain_timeout_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="seconds after SIGTERM for calls to end (edge) or be handed over (worker)",
        ),
    ] = 30.0
    log_format: Annotated[
        Literal["text", "json"], Meta(description="`text` for people, `json` for machines")
    ] = "text"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        Meta(description="the least severe line to log"),
    ] = "INFO"

    def faults(self) -> list[str]:
        """What the types cannot say; each fault begins with the variable's name."""
        try:
            redis_url.parse(self.redis_url)
        except ValueError as error:
            return [f"REDIS_URL: {error}"]
        return []


class Setting(NamedTuple):
    """One row of the settings table."""

    variable: str
    field: str
    type: Any
    default: object
    description: str


StructT = TypeVar("StructT", bound=msgspec.Struct)


def settings_of(cls: type[msgspec.Struct], *, prefix: str = PREFIX) -> Iterator[Setting]:
    hints = get_type_hints(cls, include_extras=True)
    for field in msgspec.structs.fields(cls):
        meta = _meta(hints[field.name])
        variable = (meta.extra or {}).get("name", prefix + field.name.upper())
        yield Setting(
            variable, field.name, hints[field.name], field.default, meta.description or ""
        )


def load(cls: type[StructT], environ: Mapping[str, str], *, prefix: str = PREFIX) -> StructT:
    """Raises SettingsError naming every variable that is wrong. An empty variable counts as
    unset, because that is how process files spell it."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    for setting in settings_of(cls, prefix=prefix):
        text = environ.get(setting.variable, "").strip()
        if not text:
            continue
        try:
            values[setting.field] = _convert(setting, text)
        except ValueError as error:
            faults.append(f"{setting.variable}: {_expectation(setting, error)}, got {text!r}")
    settings = cls(**values)
    if isinstance(settings, ProcessSettings):
        faults.extend(settings.faults())
    if faults:
        raise SettingsError(faults)
    return settings


def load_all(loaders: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """What each loader returns, under its key. Raises one SettingsError for all their faults, each
    named once."""
    loaded: dict[str, Any] = {}
    faults: dict[str, None] = {}
    for key, loader in loaders.items():
        try:
            loaded[key] = loader()
        except SettingsError as error:
            faults.update(dict.fromkeys(error.faults))
    if faults:
        raise SettingsError(list(faults))
    return loaded


def _convert(setting: Setting, text: str) -> Any:
    """Raises ValueError, of which msgspec's errors are a kind."""
    if _base(setting) in (AudioFormat, AudioFormat | None):
        return AudioFormat.parse(text)
    return msgspec.convert(text, setting.type, strict=False)


def _meta(annotation: Any) -> Meta:
    if get_origin(annotation) is Annotated:
        for argument in get_args(annotation)[1:]:
            if isinstance(argument, Meta):
                return argument
    return Meta()


def _base(setting: Setting) -> Any:
    """The type without its Meta."""
    is_annotated = get_origin(setting.type) is Annotated
    return get_args(setting.type)[0] if is_annotated else setting.type


def _expectation(setting: Setting, error: ValueError) -> str:
    """What was expected, in our words: no quoting of msgspec's own, choices spelled out."""
    base = _base(setting)
    if get_origin(base) is Literal:
        return "expected one of " + ", ".join(get_args(base))
    expected = str(error).replace("`", "").removesuffix(", got str")
    return expected[:1].lower() + expected[1:]
