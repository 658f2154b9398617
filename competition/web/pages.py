"""Pages and what they are made of: the list of files, its changes as events, downloads, figures."""

import asyncio
import mimetypes
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from competition.web.rows import kept_as, lay_out_page, one_row, render, rows
from competition.web.service import Owner, Service, TheService
from competition.web.tables import DONE, READY, UPLOADING, Job, Upload
from competition.web.uploads import Refused
from competition.web.wording import LANGUAGES, language_of, words_of

router = APIRouter(tags=["pages"])
_LOOK = 0.7  # seconds between two looks at the table for a page that is open
_LINES = 20  # that a visitor may have open: each looks at the table again and again
_ALIVE = 15  # looks without news after which a comment shows that the line stands
_TYPES = {"Matroska": "video/x-matroska", "WMV": "video/x-ms-wmv", "MP4": "video/mp4", "BMP": "image/bmp"}
Number = Annotated[int, Query(ge=1, le=1_000_000, description="Which page, from 1 on: later ones have older files.")]
_SEALED = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-cache",
}


@router.get("/", response_class=HTMLResponse)
def index(request: Request, service: TheService, page: Number = 1) -> Response:
    """The page with the newest files, or a later one with older files; a new visitor gets a cookie."""
    response = HTMLResponse()
    owner = service.owners.recognise(request)
    if owner is None:
        owner = service.owners.welcome(response, secure=request.url.scheme == "https")
    listed = service.listing(owner, page)
    for upload in listed.uploads:
        service.settle(upload)
    language, token, days = language_of(request), service.owners.token(owner), f"{service.settings.days:g}"
    body, words = lay_out_page(service, listed, language), words_of(language)
    said = {"rows": body, "token": token, "days": days, "words": words, "number": page, "networks": service.networks()}
    response.body = render("page.html", language, **said).encode()
    response.headers["content-length"] = str(len(response.body))
    return response


@router.get("/language/{chosen}")
def language(chosen: str) -> Response:
    """Keep a language in a cookie and go back to the page."""
    response = RedirectResponse("/", 303)
    if chosen in LANGUAGES:
        response.set_cookie("language", chosen, 365 * 86400, httponly=True, samesite="strict")
    return response


@router.get("/api/session")
def session(request: Request, service: TheService) -> Response:
    """The token of this visitor for X-Token; a new one gets a cookie. For programs; pages hold their token."""
    response = JSONResponse({})
    owner = service.owners.recognise(request)
    if owner is None:
        owner = service.owners.welcome(response, secure=request.url.scheme == "https")
    response.body = response.render({"token": service.owners.token(owner)})
    response.headers["content-length"] = str(len(response.body))
    return response


@router.get("/api/files")
def files(owner: Owner, service: TheService, response: Response, page: Number = 1) -> list[dict[str, object]]:
    """The visitor's uploads with their jobs, the newest first, 200 a page; the header Link tells of older ones."""
    listed = service.listing(owner, page)
    jobs = service.jobs_of(listed.uploads)
    if listed.older:
        response.headers["Link"] = f'</api/files?page={page + 1}>; rel="next"'
    return [
        {
            **{key: getattr(upload, key) for key in ("id", "name", "size", "state", "reason", "consent", "info")},
            "arrived": service.storage.arrived(upload.id),
            "jobs": [
                {key: getattr(job, key) for key in ("id", "operation", "state", "reason", "progress", "result")}
                for job in jobs[upload.id]
            ],
        }
        for upload in listed.uploads
    ]


@router.get("/rows/{identity}", response_class=HTMLResponse)
def row(identity: str, request: Request, owner: Owner, service: TheService) -> Response:
    """The row of one upload."""
    return one_row(request, service, service.uploads.find(owner, identity), 200)


@router.get("/events")
async def events(request: Request, owner: Owner, service: TheService, page: Number = 1) -> Response:
    """Rows of a page as they change, as server-sent events; a visitor may listen to twenty at a time."""
    if service.listening[owner] >= _LINES:
        raise Refused(429, "open too often")
    stream = _changes(request, service, owner, language_of(request), page)
    counted = _counted(service, owner, stream)
    return StreamingResponse(counted, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get("/uploads/{identity}/others", response_class=HTMLResponse)
def others(identity: str, request: Request, owner: Owner, service: TheService) -> Response:
    """What a form for merging an upload offers: asked for once somebody opens it, as there may be many."""
    upload = service.uploads.find(owner, identity)
    if upload.state != READY:
        raise Refused(409, "not ready")
    film, found = upload.info["media"] == "film", service.others(upload)
    return HTMLResponse(render("others.html", language_of(request), film=film, others=found))


@router.get("/uploads/{identity}/thumbnail")
def thumbnail(identity: str, owner: Owner, service: TheService) -> Response:
    """A small JPEG of an upload."""
    service.uploads.find(owner, identity)
    return _file(service.storage.upload(identity) / "thumbnail.jpg", "image/jpeg")


@router.get("/uploads/{identity}/content")
def content(identity: str, owner: Owner, service: TheService) -> Response:
    """An upload as it came, to be played or shown in place; only once it was found to be a picture or a film."""
    upload = service.uploads.find(owner, identity)
    if upload.state != READY:
        raise Refused(409, "not ready")
    kind = str(upload.info["kind"])
    return _file(service.storage.content(identity), _TYPES.get(kind, f"image/{kind.lower()}"))


@router.get("/jobs/{identity}/{name}")
def result(identity: str, name: str, owner: Owner, service: TheService, show: bool = False) -> Response:
    """A file that a job has made: to be kept, or with `show` in place."""
    job = service.job(owner, identity)
    if job.state != DONE or name not in [file["name"] for file in job.result.get("files", [])]:
        raise Refused(404, "not found")
    upload = service.uploads.find(owner, job.upload)
    called = None if show else f"{Path(upload.name).stem}_{kept_as(job)}{Path(name).suffix}"
    return _file(service.storage.job(identity) / name, mimetypes.guess_type(name)[0], called)


def _file(path: Path, media_type: str | None, called: str | None = None) -> Response:
    """A file that runs nothing, whatever is inside: offered for keeping where it is `called` something."""
    return _Perishable(path, media_type=media_type or "application/octet-stream", filename=called, headers=_SEALED)


class _Perishable(FileResponse):
    """A file that may be deleted at any time; 404 where that is before it is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except RuntimeError as error:  # Starlette's for a file that is not there
            if Path(self.path).is_file():
                raise
            raise Refused(404, "not found") from error


async def _counted(service: Service, owner: str, stream: AsyncIterator[str]) -> AsyncIterator[str]:
    """The stream, which is known to the service while it lasts."""
    service.listening[owner] += 1
    try:
        async for event in stream:
            yield event
    finally:
        service.listening[owner] -= 1
        service.listening += Counter()  # forgets visitors without any


async def _changes(request: Request, service: Service, owner: str, language: str, page: int = 1) -> AsyncIterator[str]:
    """The whole page whenever a file comes or goes, else each row that has changed; until the page is closed."""
    known: dict[str, object] = {"none": None}  # so that the first look sends all: a page may have missed something
    looks = 0
    yield "retry: 1000\n\n"
    while not request.app.state.closing and not await request.is_disconnected():
        await asyncio.sleep(_LOOK)
        looks += 1
        state = await run_in_threadpool(_state, service, owner)
        if state.keys() != known.keys():
            inside = await run_in_threadpool(rows, service, owner, language, number=page)
            yield _event(f'<ul id="files" hx-swap-oob="innerMorph">{inside}</ul>')
        else:
            for identity in [identity for identity, seen in state.items() if known[identity] != seen]:
                if row := await run_in_threadpool(rows, service, owner, language, identity, True, page):
                    yield _event(row)
        if state == known and looks % _ALIVE == 0:
            yield ": still there\n\n"
        known = state


def _event(html: str) -> str:
    return "".join(f"data: {line}\n" for line in html.splitlines() if line.strip()) + "\n"


def _state(service: Service, owner: str) -> dict[str, object]:
    """What a change of a row shows in: by upload, when it and its jobs changed, and how many these are."""
    with Session(service.engine) as session:
        uploads = session.execute(select(Upload.id, Upload.changed, Upload.state).where(Upload.owner == owner)).all()
        made = session.execute(select(Job.upload, Job.id, Job.changed).where(Job.owner == owner)).all()
    seen: dict[str, list[object]] = {
        identity: [None if state == UPLOADING else changed] for identity, changed, state in uploads
    }
    for upload, job, changed in made:
        seen.get(upload, []).append((job, changed))
    return {identity: tuple(sorted(parts, key=str)) for identity, parts in seen.items()}
