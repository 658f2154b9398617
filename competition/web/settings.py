"""What the service may be told: by flags, then by the environment, then by these defaults."""

import ipaddress
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, ValidationError

from competition.errors import ArgumentParser, UsageError

PREFIX = "COMPETITION_WEB_"
_GB = 10**9


class Settings(BaseModel):
    """One service. `COMPETITION_WEB_PORT=9000` in the environment or `--port 9000` sets `port`, and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str = "127.0.0.1"
    """Address to listen on; one that others can reach needs a password."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    names: str = ""
    """Names the page is reached by from outside, with commas, such as enlarge.example.org behind nginx."""
    password: SecretStr | None = None
    """Asked of everyone who opens the page; only from the environment, where other users do not see it."""
    data: Path = Path("data/web")
    """Folder of everything that is uploaded and made."""
    database: str = ""
    """URL of the table of jobs, such as postgresql+psycopg://…; empty for SQLite in the data folder."""
    queue: str = ""
    """URL of the queue, such as redis://host:6379/0; empty for SQLite in the data folder."""
    networks: Path = Path()
    """Folder whose runs/ and pretrained/ hold the networks to choose from."""
    workers: int = Field(1, ge=0, le=64)
    """Worker processes that `serve` starts beside the page; 0 where they run elsewhere."""
    threads: int = Field(2, ge=1, le=256)
    """Threads of a conversion."""
    upload: ByteSize = ByteSize(1000 * _GB)
    """Largest file that is taken; what the disk can hold is asked before."""
    quota: ByteSize = ByteSize(1000 * _GB)
    """Bytes that one visitor's files and results may take together."""
    files: int = Field(1000, ge=1)
    """Files that one visitor may keep."""
    waiting: int = Field(1000, ge=1)
    """Jobs that may wait together; more are turned away until there is room."""
    reserve: ByteSize = ByteSize(_GB)
    """Bytes of the disk that stay free."""
    memory: ByteSize = ByteSize(8 * _GB)
    """Memory that one conversion may take."""
    seconds: int = Field(7 * 24 * 3600, ge=1)
    """Longest time that one conversion may take."""
    pixels: int = Field(2**25, ge=1)
    """Largest picture or frame that is taken."""
    days: float = Field(7, gt=0)
    """Days without work on them after which files and their results are deleted."""
    hours: float = Field(24, gt=0)
    """Hours after which an unfinished upload is deleted."""
    patience: float = Field(10, gt=0)
    """Seconds without a sign of life after which a job goes to another worker."""
    attempts: int = Field(5, ge=1)
    """Deaths of workers in a row, without progress, after which a job is given up."""

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data.resolve() / 'state' / 'jobs.sqlite'}"

    @property
    def hosts(self) -> frozenset[str]:
        """What a request may call this server by."""
        named = (name.strip().lower() for name in self.names.split(","))
        return frozenset({"localhost", "127.0.0.1", "[::1]", self.host.lower(), *named} - {""})


def add_flags(parser: ArgumentParser) -> None:
    """A flag for every setting but the password."""
    for name, field in Settings.model_fields.items():
        if name != "password":
            default = f" (default: {field.default})" if str(field.default) else ""
            parser.add_argument(f"--{name}", help=f"{field.description}{default}".replace("%", "%%"))


def read_settings(flags: Namespace, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of flags laid over the environment; raises UsageError that names each wrong one."""
    names = {PREFIX + name.upper(): name for name in Settings.model_fields}
    given = {name: environment[variable] for variable, name in names.items() if variable in environment}
    given |= {name: value for name in Settings.model_fields if (value := getattr(flags, name, None)) is not None}
    try:
        settings = Settings.model_validate_strings({name: value for name, value in given.items() if value != ""})
    except ValidationError as error:
        raise UsageError(*[_explain(str(fault["loc"][0]), fault["msg"]) for fault in error.errors()]) from error
    if settings.password is None and not _is_private(settings.host):
        raise UsageError(f"host: others can reach {settings.host}, and no password is set. Set {PREFIX}PASSWORD")
    return settings


def _explain(name: str, message: str) -> str:
    return f"{name}: {message[:1].lower()}{message[1:]}. Change --{name} or {PREFIX}{name.upper()}"


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which another process has the same settings."""
    said = {name: value for name, value in settings.model_dump(mode="json").items() if name != "password"}
    if settings.password is not None:
        said["password"] = settings.password.get_secret_value()
    return {**os.environ, **{PREFIX + name.upper(): str(value) for name, value in said.items() if value is not None}}


def _is_private(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name may mean any address
