"""Pictures of what settings did to the score of a study, by Optuna."""

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import matplotlib

if TYPE_CHECKING:
    from optuna import Study


def pictures(study: "Study") -> dict[str, bytes]:
    """PNGs by file name: the scores one after the other, over each setting, and how much each setting counts.

    What Optuna cannot draw yet, with too few complete trials, is left out.
    """
    from optuna.visualization import matplotlib as draw

    score = "validation PSNR [dB]"
    kinds: dict[str, Callable[[], Any]] = {
        "history.png": lambda: draw.plot_optimization_history(study, target_name=score),
        "slices.png": lambda: draw.plot_slice(study, target_name=score),
        "importances.png": lambda: draw.plot_param_importances(study, target_name=score),
    }
    drawn = {name: _png(kind) for name, kind in kinds.items()}
    return {name: content for name, content in drawn.items() if content}


def _png(draw: Callable[[], Any]) -> bytes | None:
    buffer = io.BytesIO()
    # Optuna draws with pyplot, in a style of its own, and says of each picture that it may change.
    with matplotlib.rc_context({"backend": "Agg"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from matplotlib import pyplot

        try:
            draw()
        except (ValueError, RuntimeError):
            return None
        finally:
            figure = pyplot.gcf()
            pyplot.close(figure)
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()
