"""What a page shows of an upload and its jobs, as values that the templates lay out."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from competition.web import choices
from competition.web.reasons import explain
from competition.web.service import Page, Service
from competition.web.tables import RUNNING, UPLOADING, Job, Upload
from competition.web.wording import LANGUAGES, language_of, say

templates = Environment(
    loader=PackageLoader("competition.web"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_TELLING = 0.02  # of a job, after which its rate tells how long the rest takes
_UNITS = ("B", "kB", "MB", "GB", "TB")


def render(template: str, language: str, **values: Any) -> str:
    """A template in a language; whatever a visitor wrote is escaped."""
    told = {one.__name__: partial(one, language) for one in (say, explain, share, duration, facts)}
    return templates.get_template(template).render(language=language, languages=LANGUAGES, size=size, **told, **values)


def one_row(request: Request, service: Service, upload: Upload, status: int) -> Response:
    """The row of one upload, as an answer."""
    return HTMLResponse(lay_out(service, [upload], language_of(request)), status)


def rows(
    service: Service, owner: str, language: str, only: str | None = None, out_of_band: bool = False, number: int = 1
) -> str:
    """A page of an owner's uploads; or one row of it, nothing where that is on another page."""
    page = service.listing(owner, number)
    if only is None:
        return lay_out_page(service, page, language)
    return lay_out(service, [one for one in page.uploads if one.id == only], language, out_of_band)


def lay_out_page(service: Service, page: Page, language: str) -> str:
    """All rows of a page, and the links to those beside it."""
    return lay_out(service, page.uploads, language) + render("links.html", language, page=page)


def lay_out(service: Service, uploads: Sequence[Upload], language: str, out_of_band: bool = False) -> str:
    """The rows of some uploads."""
    networks, jobs = service.networks(), service.jobs_of(uploads)
    return "".join(
        render(
            "row.html",
            language,
            upload=_upload(service, upload),
            jobs=[_job(job) for job in jobs[upload.id]],
            networks=networks,
            out_of_band=out_of_band,
        )
        for upload in uploads
    )


def _upload(service: Service, upload: Upload) -> dict[str, Any]:
    arrived = service.storage.arrived(upload.id) if upload.state == UPLOADING else upload.size
    said = {name: getattr(upload, name) for name in ("id", "name", "size", "state", "reason", "consent", "info")}
    return said | {"arrived": arrived, "share": arrived / upload.size if upload.size else 1.0}


def _job(job: Job) -> dict[str, Any]:
    said = {
        name: getattr(job, name) for name in ("id", "operation", "state", "reason", "progress", "settings", "result")
    }
    passed = max(0.0, (job.changed if job.state != RUNNING else time.time()) - job.started)
    gone = job.progress - job.resumed_at if job.state == RUNNING and job.progress < 1 else 0.0
    left = max(0.0, time.time() - job.resumed) / gone * (1 - job.progress) if gone > _TELLING else None
    return said | {"passed": passed, "left": left, "quick": job.operation in choices.QUICK_ONES}


def facts(language: str, job: dict[str, Any]) -> Iterator[str]:
    """What a job was asked for, in a few words each; options that were left as they are say nothing."""
    settings = job["settings"]
    if "called" in settings:
        yield f"{settings['called']} ×{settings['scale']}"
        if settings["denoise"] != "none":
            yield f"{say(language, settings['denoise'])} {settings['strength']:g}"
        if settings["sharpen"]:
            yield f"{say(language, 'sharpen')} {settings['sharpen']:g}"
        if settings["self_ensemble"]:
            yield say(language, "self ensemble short")
    if job["operation"] == "cut":
        part = settings | job["result"]  # what was made may begin earlier, at a key frame
        yield f"{duration(language, part['start'])} – {duration(language, part['start'] + part['seconds'])}"
        if settings["exact"]:
            yield say(language, "exact short")
    if job["operation"] == "extract":
        yield say(language, settings["archive"])
    if job["operation"] == "merge":
        yield say(language, "files together", count=1 + len(settings["others"]))


def kept_as(job: Job) -> str:
    """What a result's name says behind that of its upload, so that those of other options are called otherwise."""
    settings = job.settings
    if job.operation == "enlarge":
        eightfold = "_8way" if settings["self_ensemble"] else ""
        return f"{settings['called']}_{settings['scale']}x{eightfold}"
    if job.operation == "cut":
        part = settings | job.result
        return f"{part['start']:g}s_{part['seconds']:g}s"
    return job.operation


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
