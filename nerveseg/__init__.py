"""nerveseg: an ultrasound nerve-block training assistant.

For education on phantoms and recordings; not for clinical decisions.
"""

__version__ = "0.1.0"
