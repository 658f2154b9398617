"""The tables that are the truth about uploads and jobs, in SQLite or PostgreSQL."""

import contextlib
import secrets
import time
from typing import Any

from sqlalchemy import JSON, BigInteger, Engine, ForeignKey, Index, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateColumn

from competition.errors import UsageError

UPLOADING, LOOKING, READY, REFUSED = "uploading", "looking", "ready", "refused"
QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
QUICK, LONG = "quick", "long"
LANES = (QUICK, LONG)
LOOK, MERGE = "look", "merge"
_ATTEMPTS = 8  # to make tables and columns; every one that fails has found one made


def new_id() -> str:
    """128 random bits that nobody guesses, in hexadecimal."""
    return secrets.token_hex(16)


class Table(DeclarativeBase):
    """All tables."""

    type_annotation_map = {dict[str, Any]: JSON}  # noqa: RUF012


class Upload(Table):
    """A file that a visitor adds; how much of it has arrived is the size of the file itself."""

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner: Mapped[str]
    name: Mapped[str]
    """As the visitor calls it; never a path of ours."""
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes that were promised; PostgreSQL's plain integers end at 2 GB."""
    state: Mapped[str] = mapped_column(default=UPLOADING)
    reason: Mapped[str] = mapped_column(default="")
    """Why it was refused."""
    consent: Mapped[bool] = mapped_column(default=False)
    info: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What looking at it has found: kind, width, height, seconds, frames …"""
    created: Mapped[float] = mapped_column(default=time.time)
    changed: Mapped[float] = mapped_column(default=time.time, onupdate=time.time)
    __table_args__ = (Index("newest", "owner", "created"),)


class Job(Table):
    """One conversion of one or several uploads."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    owner: Mapped[str] = mapped_column(index=True)
    upload: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), index=True)
    operation: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    lane: Mapped[str] = mapped_column(default=LONG)
    state: Mapped[str] = mapped_column(default=QUEUED)
    reason: Mapped[str] = mapped_column(default="")
    progress: Mapped[float] = mapped_column(default=0.0)
    """From 0 to 1."""
    attempt: Mapped[int] = mapped_column(default=0)
    """How often a worker has taken it; what an earlier attempt says counts no more."""
    deaths: Mapped[int] = mapped_column(default=0)
    """Workers that were lost over it since it last came forward."""
    worker: Mapped[str] = mapped_column(default="")
    heartbeat: Mapped[float] = mapped_column(default=0.0)
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[float] = mapped_column(default=time.time)
    started: Mapped[float] = mapped_column(default=0.0)
    resumed: Mapped[float] = mapped_column(default=0.0, server_default="0")
    """When this attempt began to come further than earlier ones, and how far those had come."""
    resumed_at: Mapped[float] = mapped_column(default=0.0, server_default="0")
    changed: Mapped[float] = mapped_column(default=time.time, onupdate=time.time)
    __table_args__ = (Index("waiting", "state", "lane", "created"),)


def open_database(url: str) -> Engine:
    """The engine of a database whose tables are there; an SQLite file is made in WAL mode.

    Raises UsageError, which does not repeat a password, for what is no URL of a database, and where none answers.
    """
    try:
        lite = make_url(url).get_backend_name() == "sqlite"
        engine = create_engine(url, pool_pre_ping=not lite, connect_args={"timeout": 30} if lite else {})
    except (ArgumentError, ImportError) as error:
        cause = "is no URL of a database, or its driver is not installed"
        raise UsageError(f"database: {cause}. Give postgresql+psycopg://…, or leave it out for SQLite") from error
    if lite:
        event.listen(engine, "connect", _configure)
    try:
        _make_tables(engine)
    except OperationalError as error:
        cause = f"cannot be used ({str(error.orig).splitlines()[0]})"
        raise UsageError(f"database: {cause}. Start it, or change its URL") from error
    return engine


def _make_tables(engine: Engine) -> None:
    """Make what lacks; each of several processes that begin at once may be refused something that another made."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(DBAPIError):
            return _make_what_lacks(engine)
    return _make_what_lacks(engine)


def _make_what_lacks(engine: Engine) -> None:
    """Tables, and columns of tables that an earlier version made."""
    Table.metadata.create_all(engine)
    for name, table in Table.metadata.tables.items():
        there = {column["name"] for column in inspect(engine).get_columns(name)}
        for column in table.columns:
            if column.name not in there:
                said = CreateColumn(column).compile(dialect=engine.dialect)
                with engine.begin() as connection:
                    connection.execute(text(f"ALTER TABLE {name} ADD COLUMN {said}"))


def _configure(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")
