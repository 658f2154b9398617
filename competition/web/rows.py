"""What a page shows of an upload and its jobs, as values that the templates lay out."""

import time
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from competition.web import choices
from competition.web.reasons import explain
from competition.web.service import Service
from competition.web.tables import READY, RUNNING, UPLOADING, Job, Upload
from competition.web.wording import LANGUAGES, language_of, say

templates = Environment(
    loader=PackageLoader("competition.web"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_UNITS = ("B", "kB", "MB", "GB", "TB")


def render(template: str, language: str, **values: Any) -> str:
    """A template in a language; whatever a visitor wrote is escaped."""
    told = {one.__name__: partial(one, language) for one in (say, explain, share, duration)}
    return templates.get_template(template).render(language=language, languages=LANGUAGES, size=size, **told, **values)


def one_row(request: Request, service: Service, upload: Upload, status: int) -> Response:
    """The row of one upload, as an answer."""
    return HTMLResponse(rows(service, upload.owner, language_of(request), only=upload.id), status)


def rows(service: Service, owner: str, language: str, only: str | None = None, out_of_band: bool = False) -> str:
    """The rows of an owner's uploads, or one of them."""
    listing = service.listing(owner)
    others = [upload for upload, _ in listing if upload.state == READY]
    networks = service.networks()
    return "".join(
        render(
            "row.html",
            language,
            upload=_upload(service, upload),
            jobs=[_job(job) for job in jobs],
            networks=networks,
            others=[other for other in others if other.id != upload.id and _same_kind(other, upload)],
            out_of_band=out_of_band,
        )
        for upload, jobs in listing
        if only in (None, upload.id)
    )


def _same_kind(one: Upload, other: Upload) -> bool:
    return bool(one.info.get("media") == other.info.get("media"))


def _upload(service: Service, upload: Upload) -> dict[str, Any]:
    arrived = service.storage.arrived(upload.id) if upload.state == UPLOADING else upload.size
    said = {name: getattr(upload, name) for name in ("id", "name", "size", "state", "reason", "consent", "info")}
    return said | {"arrived": arrived, "share": arrived / upload.size if upload.size else 1.0}


def _job(job: Job) -> dict[str, Any]:
    said = {
        name: getattr(job, name) for name in ("id", "operation", "state", "reason", "progress", "settings", "result")
    }
    passed = max(0.0, (job.changed if job.state != RUNNING else time.time()) - job.started)
    left = passed / job.progress * (1 - job.progress) if job.state == RUNNING and job.progress > 0.02 else None
    return said | {"passed": passed, "left": left, "quick": job.operation in choices.QUICK_ONES}


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"


def share(language: str, part: float) -> str:
    """A part of 1 as 25 %."""
    return say(language, "percent", percent=f"{100 * part:.0f}")


def duration(language: str, seconds: float) -> str:
    """Seconds as 8 s, 3:05 or 1:03:05."""
    whole = round(seconds)
    if whole < 60:
        return say(language, "in seconds", seconds=f"{seconds:.1f}" if seconds < 10 else whole)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
