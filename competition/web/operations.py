"""Routes that start, cancel and delete: an operation on an upload is a job of the table."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from competition.web import choices
from competition.web.rows import one_row
from competition.web.service import Changer, Service, TheService
from competition.web.tables import READY, Upload
from competition.web.uploads import Refused

router = APIRouter(tags=["operations"])


@router.post("/uploads/{identity}/{operation}", status_code=202)
async def start(identity: str, operation: str, request: Request, owner: Changer, service: TheService) -> Response:
    """Start an operation on an upload, with the options of its form; answers with the upload's row."""
    async with request.form(max_files=0, max_fields=2000) as form:
        return await run_in_threadpool(_start, identity, operation, request, owner, service, form)


def _start(identity: str, operation: str, request: Request, owner: str, service: Service, form: FormData) -> Response:
    upload = service.uploads.find(owner, identity)
    service.start(upload, operation, _settings(service, upload, operation, form))
    return one_row(request, service, upload, 202)


@router.post("/enlarge", status_code=202)
async def enlarge_all(request: Request, owner: Changer, service: TheService) -> dict[str, int]:
    """Enlarge every file that is not enlarged yet, with the options of the form; answers how many."""
    async with request.form(max_files=0, max_fields=20) as form:
        return await run_in_threadpool(_enlarge_all, owner, service, form)


def _enlarge_all(owner: str, service: Service, form: FormData) -> dict[str, int]:
    started = 0
    for upload in service.not_enlarged(owner):
        try:
            service.start(upload, "enlarge", _settings(service, upload, "enlarge", form))
            started += 1
        except Refused as refused:
            if refused.status != 404:  # deleted meanwhile
                raise
    return {"started": started}


@router.post("/jobs/{identity}/cancel", status_code=202)
def cancel(identity: str, request: Request, owner: Changer, service: TheService) -> Response:
    """Cancel a job that waits or runs; what it had made so far is deleted."""
    job = service.job(owner, identity)
    service.cancel(job)
    return one_row(request, service, service.uploads.find(owner, job.upload), 202)


@router.delete("/jobs/{identity}")
def delete_job(identity: str, request: Request, owner: Changer, service: TheService) -> Response:
    """Delete a job and what it has made."""
    job = service.job(owner, identity)
    service.storage.forget_job(job.id)
    return one_row(request, service, service.uploads.find(owner, job.upload), 200)


@router.delete("/uploads/{identity}")
def delete_upload(identity: str, owner: Changer, service: TheService) -> Response:
    """Delete an upload and everything that was made of it."""
    service.forget(service.uploads.find(owner, identity))
    return Response("", media_type="text/html")


@router.post("/uploads/{identity}/consent/withdraw", status_code=200)
def withdraw(identity: str, request: Request, owner: Changer, service: TheService) -> Response:
    """No longer let an upload be used for learning; pairs that were made of it are deleted."""
    upload = service.uploads.find(owner, identity)
    service.withdraw(upload)
    return one_row(request, service, service.uploads.find(owner, identity), 200)


def _settings(service: Service, upload: Upload, operation: str, form: FormData) -> dict[str, Any]:
    """A form's options as a job's settings; raises Refused for those that cannot be."""
    schema = choices.OPERATIONS.get(operation)
    if schema is None:
        raise Refused(404, "not found")
    if upload.state != READY:
        raise Refused(409, "not ready")
    media = upload.info["media"]
    if media != "film" and operation not in choices.OF_PICTURES:
        raise Refused(409, "not for this")
    lists = ("others",)
    given: dict[str, Any] = {name: form.getlist(name) if name in lists else form[name] for name in form}
    try:
        settings = schema.model_validate(given).model_dump()
    except ValidationError as error:
        raise Refused(422, "wrong option") from error
    settings |= {"media": media, "seconds_in_all": upload.info["seconds"]}
    if schema is choices.Enlarge:
        settings |= _network(service, settings)
    for other in settings.get("others", []):
        if service.uploads.find(upload.owner, other).info.get("media") != media:
            raise Refused(409, "not for this")
    return settings


def _network(service: Service, settings: dict[str, Any]) -> dict[str, Any]:
    """Where the network lies that was chosen by name, and the scale; raises Refused where there is none such."""
    networks = service.networks()
    name = settings["network"] or next(iter(networks))
    if name not in networks:
        raise Refused(422, "unknown network")
    network = networks[name]
    scale = int(settings["scale"] or network.scales[-1])
    if scale > network.scales[-1]:  # a smaller one is the network's own, reduced
        raise Refused(422, "other scale")
    return {"network": network.source, "called": name, "scale": scale}
