"""How a network is computed for inference: which numbers, by what."""

import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn

from competition.errors import UsageError
from competition.models import banded
from competition.models.rrdbnet import RRDBNet
from competition.tiling import Forward

Precision = Literal["float32", "bf16", "fp16", "float64"]
Backend = Literal["torch", "compile", "openvino"]
_TYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "float64": torch.float64}


def build_engine(network: nn.Module, precision: Precision = "float32", backend: Backend = "torch") -> Forward:
    """A forward of low pictures (N, 3, H, W) that computes what `network` does, on the network's device.

    precision: float32, exact to rounding; bf16 and fp16, which round what enters the convolutions of an RRDBNet's
    blocks (of other networks, whatever autocast rounds) while sums, what goes from block to block and the last layers
    stay in float32; float64, by which the others are measured, with a result in float64.
    backend: torch; compile, the network through torch.compile, which needs a compiler and minutes at first; openvino,
    Intel's runtime for CPUs, an optional package.

    Raises UsageError for what does not go together or is not installed.
    """
    if backend == "openvino":
        return _OpenVINO(network, precision)
    if precision == "float64":
        network = network.double()
    if backend == "compile":
        network.compile()
    elif isinstance(network, RRDBNet) and banded.covers(network):
        return _Converted(banded.BandedRRDBNet(network, _TYPES[precision]))
    return _Autocast(network, _TYPES[precision])


class _Converted(nn.Module):
    """A network that takes what its weights are."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, low: Tensor) -> Tensor:
        dtype = next((parameter.dtype for parameter in self.network.parameters()), low.dtype)
        high: Tensor = self.network(low.to(dtype, memory_format=torch.channels_last))
        return high


class _Autocast(nn.Module):
    """A network whose convolutions torch rounds."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype

    def forward(self, low: Tensor) -> Tensor:
        rounded = self.dtype in (torch.bfloat16, torch.float16)
        low = low.to(torch.float32 if rounded else self.dtype, memory_format=torch.channels_last)
        with torch.autocast(low.device.type, self.dtype, enabled=rounded):
            high: Tensor = self.network(low)
        return high.float() if rounded else high


class _OpenVINO:
    """A network in OpenVINO's runtime, prepared anew for every shape."""

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        try:
            import openvino
        except ImportError as error:
            raise UsageError("--backend: openvino is not installed. `pip install openvino` or take torch") from error
        types = {"float32": "f32", "bf16": "bf16", "fp16": "f16"}
        if precision not in types:
            raise UsageError(f"--precision: openvino has no {precision}. Take torch for it")
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing tells what it takes for constant
            self.model = openvino.convert_model(network.cpu(), example_input=torch.zeros(1, 3, 32, 32))
        # Said explicitly: on CPUs that have it, OpenVINO takes bf16 for float32.
        self.options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": types[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.core, self.shape, self.request = openvino.Core(), torch.Size(), None

    def __call__(self, low: Tensor) -> Tensor:
        if low.shape != self.shape:
            self.model.reshape(list(low.shape))
            self.request = self.core.compile_model(self.model, "CPU", self.options).create_infer_request()
            self.shape = low.shape
        assert self.request is not None
        result = self.request.infer({0: low.contiguous().numpy()})
        return torch.from_numpy(result[0]).clone()
