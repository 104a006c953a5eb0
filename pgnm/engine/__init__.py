"""What the training stages share.

`devices` finds processes, device and arithmetic; `optim` builds optimisers, schedules and averages; `validate` judges;
`state` saves and resumes; `fit` is the loop over epochs.
"""

from pgnm.engine.devices import Devices, open_devices
from pgnm.engine.fit import Stage, Summary, fit
from pgnm.engine.optim import Ema, Updater, rate_factor
from pgnm.engine.validate import validate

__all__ = ["Devices", "Ema", "Stage", "Summary", "Updater", "fit", "open_devices", "rate_factor", "validate"]
