"""Settings: one frozen object, from flags, `PYWORKER_*` variables, a TOML file and defaults, in
that order.

A new setting is one more field of `Settings`; its description is the documentation. Everything is
validated before anything connects, and a bad value is one error that names the setting and where it
came from.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from pyworker.dsn import complaint_about
from pyworker.errors import ConfigError

__all__ = ["Settings", "config_file", "load_settings"]

_PREFIX = "PYWORKER_"

#: Flags that are not called as their setting is.
_FLAGS = {
    "owners": "--owner",
    "supervisor_name": "--name",
    "server_dir": "--dir",
    "http_hosts": "--http-host",
}

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    dsn: SecretStr | None = Field(
        None, description="the database, as a libpq URI or keyword string"
    )
    allow_superuser: bool = Field(default=False, description="the daemon's login may be privileged")
    owners: Names = Field(
        (),
        description=(
            "roles whose jobs the daemon runs: a, b or a JSON array; empty: those it may connect as"
        ),
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: JSON unless standard output is a terminal"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lines below it are left out"
    )
    supervisor_name: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="the daemon's name in logs and views; default: host and pid",
    )
    session_linger: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="seconds that a worker session stays when it has nothing to do",
    )
    stall_after: float = Field(
        30.0,
        ge=1,
        description="seconds without an answer after which the daemon gives up on the server "
        "and leaves",
    )
    stuck_after: float = Field(
        30.0,
        ge=1,
        description="seconds that due jobs may wait for a session before the daemon "
        "speaks of stuck jobs",
    )
    upgrade_wait: float = Field(
        60.0,
        ge=0,
        description="seconds that `pyworker upgrade` waits for the jobs that worker sessions run",
    )
    vacuum_jobs: int = Field(
        40_000,
        ge=1000,
        description="attempts that end before the daemon has the hot tables vacuumed ahead of time",
    )
    processors: int | None = Field(
        None,
        ge=1,
        description="processors of the server, which the daemon keeps busy with sessions and no "
        "more; default: those of this machine where the DSN is a local socket, else not known, and "
        "sessions are as many as there is work for",
    )
    http: str | None = Field(
        None,
        description="HOST:PORT at which the daemon answers probes and shows what it sees; "
        "default: it listens nowhere",
    )
    http_token_file: Path | None = Field(
        None,
        description="a file, ours alone, with the token that clients of http send; needed where "
        "http is no loopback address",
    )
    http_hosts: Names = Field(
        (),
        description="names under which http is reached, beside localhost and IP addresses: "
        "requests for others are refused",
    )
    server_dir: Path | None = Field(None, description="the private server's directory")
    server_user: str | None = Field(
        None, description="OS user that runs the private server when started by root"
    )
    server_mirror: str | None = Field(
        None, description="a Debian mirror; default: the one this machine's apt uses"
    )
    server_suites: Names = Field(
        ("testing", "unstable"), description="Debian suites to look in, in this order"
    )
    server_packages: Path | None = Field(
        None,
        description="a directory that keeps the downloaded packages, shared among private servers",
    )
    server_keyring: Path | None = Field(
        None, description="the keyring that signs the Debian archive"
    )

    #: Setting -> the flag, variable or file that it comes from; what has its default is not here.
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    def source(self, name: str) -> str:
        """Name the place where a person corrects a setting."""
        return self._sources.get(name, _flag(name))

    @field_validator("dsn")
    @classmethod
    def _readable(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse what libpq could not read: it would quote a piece of it, and that may be a piece
        of the password.
        """
        complaint = complaint_about(value.get_secret_value()) if value else None
        if complaint:
            raise ValueError(complaint)
        return value

    @field_validator("owners", "http_hosts", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        """Accept `a, b` where a list is meant: variables carry none. Names may have spaces; commas,
        in a JSON array.
        """
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            try:
                return json.loads(value)
            except json.JSONDecodeError as error:
                raise ValueError(f"it begins as a JSON array and is none: {error}") from None
        return tuple(name for name in map(str.strip, value.split(",")) if name)

    @field_validator("server_suites", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        """Accept `a,b c` where a list of words is meant."""
        return tuple(re.split(r"[,\s]+", value.strip(", \t"))) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use flags (`load_settings` merges the file's values beneath) and the environment; nothing
        else.
        """
        return (init_settings, env_settings)


def _flag(name: str) -> str:
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


def config_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Find the TOML file: PYWORKER_CONFIG, ./pyworker.toml, or pyworker/config.toml in the XDG
    config directory.
    """
    env = os.environ if environ is None else environ
    named = env.get(f"{_PREFIX}CONFIG")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigError(
                f'configuration file "{path}" does not exist',
                hint="Correct PYWORKER_CONFIG, or unset it to use defaults.",
            )
        return path
    xdg = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or "/") / ".config")
    here = Path("pyworker.toml")
    if here.is_file():
        _refuse_foreign(here)
        return here
    there = xdg / "pyworker" / "config.toml"
    return there if there.is_file() else None


def _refuse_foreign(path: Path) -> None:
    """Refuse a file that others could have left where we happen to be: it says where to connect,
    and which hosts to trust.
    """
    facts = (path.lstat(), path.stat())  # of a link itself too
    if any(one.st_uid not in (0, os.geteuid()) for one in facts) or facts[1].st_mode & 0o002:
        raise ConfigError(
            f'configuration file "{path.resolve()}" may be of another user',
            detail="It belongs to another user, or all users may write it.",
            hint=(
                "Where it is meant, name it in PYWORKER_CONFIG; else run this in another directory."
            ),
        )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f'cannot read configuration file "{path}"', detail=str(error)) from error


def load_settings(**flags: Any) -> Settings:
    """Read all sources and validate. Flags that are None were not given."""
    given = {name: value for name, value in flags.items() if value is not None}
    path = config_file()
    in_file = _read_toml(path) if path else {}
    in_environment = {
        name
        for name in Settings.model_fields
        if any(
            key.upper() == f"{_PREFIX}{name}".upper() and value for key, value in os.environ.items()
        )
    }
    below = {name: value for name, value in in_file.items() if name not in in_environment}

    def source(name: str) -> str:
        if name in given:
            return _flag(name)
        if name in in_environment:
            return f"{_PREFIX}{name.upper()}"
        return f'{name} in "{path}"'

    try:
        settings = Settings(**{**below, **given})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = str(problem["loc"][0]) if problem["loc"] else "?"
        known = problem["type"] != "extra_forbidden"
        said = problem["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f'setting "{name}" is wrong' if known else f'setting "{name}" does not exist',
            detail=f"{said} (from {source(name)})." if known else f"It comes from {source(name)}.",
            hint=f"Correct {source(name)}. What it is: {Settings.model_fields[name].description}."
            if known
            else f"Known settings: {', '.join(sorted(Settings.model_fields))}.",
        ) from None
    settings._sources.update(  # noqa: SLF001  its own
        {name: source(name) for name in {*given, *in_environment, *below}}
    )
    return settings
