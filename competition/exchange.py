"""Networks in the formats that other programs run, for pictures of any height and width: ONNX and torch.export."""

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from competition.errors import UsageError

Format = Literal["onnx", "pt2"]
Run = Callable[[Tensor], Tensor]
# The height and width that the tracing sees: odd, prime and unlike each other, so that no rule is found by accident.
EXAMPLE = (37, 53)
# Under this key of the file stands what it says of itself.
NOTE = "competition"
PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "pt2": ()}


class Exported(NamedTuple):
    """The bytes of a file and, read back from them, what runs it: float32 (1, 3, H, W) to (1, 3, scale*H, scale*W)."""

    content: bytes
    run: Run


def require_packages(kind: Format) -> None:
    """Raise UsageError that names the packages which a format needs and which are not installed."""
    absent = [name for name in PACKAGES[kind] if importlib.util.find_spec(name) is None]
    if absent:
        raise UsageError(
            f"--formats: {kind} needs {' and '.join(absent)}. Install them with "
            "pip install -c constraints.txt -e '.[export]', or ask for --formats pt2"
        )


def trace(network: nn.Module) -> ExportedProgram:
    """The float32 program of a network in evaluation mode; raises whatever torch does when it finds none."""
    example = torch.rand(1, 3, *EXAMPLE)
    sizes = ({2: Dim.DYNAMIC, 3: Dim.DYNAMIC},)
    with _quiet():
        return torch.export.export(network.float().eval(), (example,), dynamic_shapes=sizes)


def write_pt2(program: ExportedProgram, note: str) -> Exported:
    """torch.export's archive, which `torch.export.load` reads; `note` is its extra file NOTE."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={NOTE: note})
    content = buffer.getvalue()
    return Exported(content, torch.no_grad()(torch.export.load(io.BytesIO(content)).module()))


def write_onnx(program: ExportedProgram, note: str) -> Exported:
    """An ONNX model with input `low`, output `high` and the metadata entry NOTE, run by onnxruntime on the CPU."""
    import onnxruntime

    names: Any = {"input_names": ["low"], "output_names": ["high"]}
    with _quiet():
        sizes = ({2: "height", 3: "width"},)
        made = torch.onnx.export(program, dynamo=True, verbose=False, dynamic_shapes=sizes, **names)
    assert made is not None
    made.model.metadata_props[NOTE] = note
    content = made.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return Exported(content, lambda low: torch.from_numpy(session.run(None, {"low": low.numpy()})[0]))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of torch's exporters about themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


WRITERS: dict[Format, Callable[[ExportedProgram, str], Exported]] = {"onnx": write_onnx, "pt2": write_pt2}
