"""Logs as one JSON object a line: whatever a visitor's text holds, it stays one value on one line."""

import json
import logging
import sys
import time
from typing import Any

_logger = logging.getLogger("competition.web")


class Lines(logging.Formatter):
    """A record as JSON, with the fields that `log` was given."""

    def format(self, record: logging.LogRecord) -> str:
        said = {"time": round(record.created, 3), "level": record.levelname.lower(), "event": record.getMessage()}
        fields = getattr(record, "fields", {"logger": record.name})
        if record.exc_info:
            fields = {**fields, "traceback": self.formatException(record.exc_info)}
        return json.dumps({**said, **fields}, default=str)


def log(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """Note an event; where that is an error which is being handled, with its traceback."""
    _logger.log(
        level, event, extra={"fields": fields}, exc_info=level >= logging.ERROR and sys.exc_info()[0] is not None
    )


def begin_logging() -> None:
    """Send all logs, of libraries too, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("huey", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
