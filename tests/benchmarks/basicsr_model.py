"""BasicSR's training step, set up as its training options set it up: the reference that ours is measured beside."""

from typing import Any

import competition.compat  # noqa: F401  isort: skip  (before basicsr)
from basicsr.models.sr_model import SRModel

from competition.models.rrdbnet import RRDBNetConfig


def sr_model(config: RRDBNetConfig, lr: float, betas: tuple[float, float], ema: float, gpus: int = 0) -> Any:
    """An SRModel with this network, a mean squared error, Adam and averaged weights."""
    network = {"num_feat": config.num_feat, "num_block": config.num_block, "num_grow_ch": config.num_grow_ch}
    return SRModel(
        {
            "num_gpu": gpus,
            "dist": False,
            "rank": 0,
            "is_train": True,
            "path": {},
            "network_g": {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "scale": config.scale, **network},
            "train": {
                "ema_decay": ema,
                "optim_g": {"type": "Adam", "lr": lr, "betas": betas},
                "scheduler": {"type": "MultiStepLR", "milestones": [10**9], "gamma": 0.5},
                "pixel_opt": {"type": "MSELoss", "loss_weight": 1.0, "reduction": "mean"},
            },
        }
    )
