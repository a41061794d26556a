"""Other searches, each by its own code, in a table that imports only the one that is used.

A peer is a function from a `Replay` to the steps that it took. Libraries that clash with ours have
an environment of their own: `environments.py`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.search.setting import Peer

PEERS = {
    "rungs": "rungs:freeze_thaw",
    "rungs_promotion_tpe": "rungs:promotion_tpe",
    "rungs_asha_tpe": "rungs:asha_tpe",
    "random": "full_length:random",
    "sobol": "full_length:sobol",
    "one_epoch": "one_epoch:one_epoch",
    "random_asha": "asha:random_asha",
    "random_promotion": "asha:random_promotion",
    "ray_stock": "ray_stock:ray_stock",
    "optuna_tpe": "optuna_study:optuna_tpe",
    "optuna_gp": "optuna_study:optuna_gp",
    "neps_async_hb": "neps_brackets:async_hb",
    "neps_priorband": "neps_brackets:priorband",
    "smac_mf": "smac_mf:smac_mf",
    "dehb": "dehb_ask_tell:dehb_ask_tell",
    "syne_asha": "syne_tune_schedulers:asha",
    "syne_bohb": "syne_tune_schedulers:bohb",
    "syne_ashabore": "syne_tune_schedulers:ashabore",
    "syne_ashacqr": "syne_tune_schedulers:ashacqr",
}


def peer(name: str) -> "Peer":
    """The one of this name."""
    module, _, function = PEERS[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), function)
