"""The researcher's workshop: fit, evaluate and export networks. Needs ``nerveseg[train]``."""

from train.torchvision_ops import declare_missing_operators

# Kept for the life of the process: torch forgets a library's declarations with the object.
_OPERATORS = declare_missing_operators()
