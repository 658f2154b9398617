"""The tus 1.0 protocol (https://tus.io/protocols/resumable-upload): creation, checksum, termination, expiration."""

import asyncio
import base64
import hashlib
import tempfile
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import IO, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from competition.web.service import Changer, Owner, Service, TheService
from competition.web.tables import UPLOADING, Upload
from competition.web.uploads import Refused

router = APIRouter(prefix="/files", tags=["uploads"])

VERSION = "1.0.0"
_DIGESTS = ("sha256", "sha1")
_BLOCK = 1 << 20  # bytes that are written at a time
_IDLE = 30.0  # seconds without a byte after which a sender is given up
_TYPE = "application/offset+octet-stream"


def _speaks_tus(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise Refused(412, "not tus 1.0.0")


Tus = Depends(_speaks_tus)


@router.options("", status_code=204)
def capabilities(service: TheService) -> Response:
    """What this server can do of tus."""
    said = {
        "Tus-Version": VERSION,
        "Tus-Extension": "creation,checksum,termination,expiration",
        "Tus-Checksum-Algorithm": ",".join(_DIGESTS),
        "Tus-Max-Size": str(int(service.settings.upload)),
    }
    return Response(status_code=204, headers=said)


@router.post("", status_code=201, dependencies=[Tus])
def create(request: Request, owner: Changer, service: TheService) -> Response:
    """Begin an upload of Upload-Length bytes; Location is where they go."""
    size = _number(request, "upload-length")
    told = _metadata(request.headers.get("upload-metadata", ""))
    upload = service.uploads.create(owner, told.get("filename", ""), size, consent=told.get("consent") == "yes")
    service.settle(upload)  # one without bytes is whole
    return _answer(service, upload, 201, 0, {"Location": f"/files/{upload.id}"})


@router.head("/{identity}", dependencies=[Tus])
def offset(identity: str, owner: Owner, service: TheService) -> Response:
    """How much of an upload has arrived."""
    upload = service.uploads.find(owner, identity)
    service.settle(upload)  # a server that was killed may not have
    arrived = service.storage.arrived(identity)
    return _answer(service, upload, 200, arrived, {"Upload-Length": str(upload.size)})


@router.patch("/{identity}", status_code=204, dependencies=[Tus])
async def append(identity: str, request: Request, owner: Changer, service: TheService) -> Response:
    """Add bytes at Upload-Offset; with a wrong Upload-Checksum they are as if they had never come."""
    begin = _number(request, "upload-offset")
    upload = await run_in_threadpool(_going_on, service, owner, identity, begin)
    if request.headers.get("content-type") != _TYPE:
        raise Refused(415, "not tus 1.0.0")
    room = upload.size - begin
    if _number(request, "content-length", 0) > room:
        raise Refused(413, "longer than promised")
    digest, expected = _digest(request)
    async with contextmanager_in_threadpool(service.uploads.appending(upload, begin)) as file:
        if digest is None:
            arrived = begin + await _receive(request, file, room)
        else:
            arrived = begin + await _receive_checked(request, file, room, digest, expected)
    await run_in_threadpool(service.uploads.touch, upload)
    await run_in_threadpool(service.settle, upload)
    return await run_in_threadpool(_answer, service, upload, 204, arrived, {})


@router.delete("/{identity}", status_code=204, dependencies=[Tus])
def terminate(identity: str, owner: Changer, service: TheService) -> Response:
    """Give an upload up."""
    service.forget(service.uploads.find(owner, identity))
    return Response(status_code=204, headers={"Tus-Resumable": VERSION})


def _going_on(service: Service, owner: str, identity: str, begin: int) -> Upload:
    """An upload of which so many bytes have arrived."""
    upload = service.uploads.find(owner, identity)
    if begin != service.storage.arrived(identity):
        raise Refused(409, "wrong offset")
    return upload


async def _receive_checked(request: Request, file: IO[bytes], room: int, digest: Any, expected: bytes) -> int:
    """Append what comes once its digest is right: the file's size never counts a byte that was not checked.

    Until then the bytes lie beside it in a file without a name, which is gone with this process, however that ends.
    """
    with tempfile.TemporaryFile(dir=Path(file.name).parent, prefix=".tmp_", buffering=0) as aside:
        count = await _receive(request, aside, room, digest)
        if digest.digest() != expected:
            raise Refused(460, "wrong checksum")
        await run_in_threadpool(_append, aside, file)
    return count


async def _receive(request: Request, file: IO[bytes], room: int, digest: Any = None) -> int:
    """Append what comes; bytes that were cut off stay, so that the sender goes on from there."""
    count, block = 0, bytearray()

    async def store() -> None:
        part = bytes(block)
        block.clear()  # before it is written: what fails amid that is not written again
        if digest is not None:
            digest.update(part)
        await run_in_threadpool(_write, file, part)

    try:
        async for part in _parts(request):
            count += len(part)
            if count > room:
                raise Refused(413, "longer than promised")
            block += part
            if len(block) >= _BLOCK:
                await store()
    finally:
        if block and count <= room:
            await store()
    return count


def _append(source: IO[bytes], file: IO[bytes]) -> None:
    source.seek(0)
    while block := source.read(_BLOCK):
        _write(file, block)


def _write(file: IO[bytes], block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]


async def _parts(request: Request) -> AsyncIterator[bytes]:
    parts = request.stream()
    while True:
        try:
            yield await asyncio.wait_for(anext(parts), _IDLE)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError as error:
            raise Refused(408, "too slow") from error
        except ClientDisconnect as error:
            raise Refused(400, "cut off") from error


def _number(request: Request, header: str, default: int | None = None) -> int:
    text = request.headers.get(header)
    if text is None and default is not None:
        return default
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(400, "not tus 1.0.0")
    return int(text)


def _metadata(header: str) -> dict[str, str]:
    """Keys and their texts, which come in Base64."""
    told = {}
    for item in filter(None, header.split(",")):
        key, _, value = item.strip().partition(" ")
        try:
            told[key] = base64.b64decode(value, validate=True).decode(errors="replace")
        except ValueError as error:  # wrong Base64, or letters that are none of it
            raise Refused(400, "not tus 1.0.0") from error
    return told


def _digest(request: Request) -> tuple[Any, bytes]:
    """A digest to feed, or None, and what it has to come to."""
    header = request.headers.get("upload-checksum")
    if header is None:
        return None, b""
    name, _, value = header.partition(" ")
    if name not in _DIGESTS:
        raise Refused(400, "not tus 1.0.0")
    try:
        return hashlib.new(name), base64.b64decode(value, validate=True)
    except ValueError as error:  # wrong Base64, or letters that are none of it
        raise Refused(400, "not tus 1.0.0") from error


def _answer(service: Service, upload: Upload, status: int, arrived: int, more: dict[str, str]) -> Response:
    headers = {"Tus-Resumable": VERSION, "Upload-Offset": str(arrived), "Cache-Control": "no-store", **more}
    with Session(service.engine) as session:
        now = session.get(Upload, upload.id)
    if now is not None and now.state == UPLOADING:
        headers["Upload-Expires"] = formatdate(now.changed + 3600 * service.settings.hours, usegmt=True)
    return Response(status_code=status, headers=headers)
