"""The web application: routes behind the guard, and the pages about the service itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse

from competition import __version__
from competition.web import jobs, operations, pages, tus
from competition.web.guard import Guard
from competition.web.rows import render
from competition.web.service import Service, TheService
from competition.web.settings import Settings
from competition.web.uploads import Refused
from competition.web.wording import language_of, plain

_STATIC = Path(__file__).with_name("static")


def create_app(settings: Settings) -> FastAPI:
    """The application of one page process; its `state.service` is what routes ask."""
    service = Service(settings)
    app = FastAPI(
        title="competition",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service, app.state.closing = service, False
    app.add_middleware(Guard, service=service)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    for router in (tus.router, operations.router, pages.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_api_route("/healthz", health, tags=["service"])
    app.add_api_route("/metrics", metrics, tags=["service"], response_class=PlainTextResponse)
    app.add_api_route("/docs", documents, tags=["service"], response_class=HTMLResponse)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    app.state.service.engine.dispose()


def health(service: TheService) -> Response:
    """Whether table and disk answer: 200, or 503 with what does not."""
    try:
        free, waiting = service.storage.free(), jobs.waiting(service.engine)
    except Exception as error:  # whatever it is, the answer is that it is not well
        return JSONResponse({"well": False, "cause": type(error).__name__}, 503)
    said = {"well": free > 0, "free": free, "waiting": waiting}
    return JSONResponse(said, 200 if free > 0 else 503)


def metrics(service: TheService) -> Response:
    """Figures for Prometheus."""
    return PlainTextResponse(
        service.figures.page(service.engine, service.storage), media_type="text/plain; version=0.0.4"
    )


def documents(request: Request) -> Response:
    """All routes for programs, from the OpenAPI document at /openapi.json."""
    return HTMLResponse(render("docs.html", language_of(request), document=request.app.openapi()))


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {"Tus-Resumable": tus.VERSION} if "tus-resumable" in request.headers else {}
    if error.status == 503:
        headers["Retry-After"] = "30"
    if error.status == 412:
        headers["Tus-Version"] = tus.VERSION
    return plain(error.status, error.word, headers)


def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {400: "wrong option", 404: "not found"}
    return plain(error.status_code, words.get(error.status_code, str(error.detail)), error.headers)


def _invalid(request: Request, error: Exception) -> Response:
    return plain(422, "wrong option")
