"""Training in less memory: what lies inside the blocks of a network is computed again for the gradients, not kept."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Blocks(nn.ModuleList):
    """Blocks that pass a tensor on; parameter names are those of nn.Sequential."""

    recompute = False
    """Keep only what goes from block to block; Chen et al., "Training deep nets with sublinear memory cost", 2016."""

    def forward(self, x: Tensor, *same: Tensor) -> Tensor:
        """Through all blocks, one after the other; each is given `same` too."""
        for output in self.outputs(x, *same):
            x = output
        return x

    def outputs(self, x: Tensor, *same: Tensor) -> Iterator[Tensor]:
        """What each block makes of the output of the one before."""
        for block in self:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, *same, use_reentrant=False, preserve_rng_state=False)  # nothing here is random
            else:
                x = block(x, *same)
            yield x


def recompute_blocks(network: nn.Module, recompute: bool = True) -> int:
    """Let the blocks of a network be recomputed in training, or not; returns how many there are."""
    trunks = [module for module in network.modules() if isinstance(module, Blocks)]
    for trunk in trunks:
        trunk.recompute = recompute
    return sum(map(len, trunks))
