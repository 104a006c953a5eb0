"""Make a small collection of phantoms in RadImageNet's layout, with everything known that cleaning has to find.

Under the output folder, `RadImageNet-phantom/<CT|MR|US|XR>/<anatomy>/[<pathology>/]<file>` is the collection, and
`truth/` beside it what is known about it: `masks/` and `findings.csv` (where the marks are), `clean/` (the marked
ultrasound images without their marks), `duplicates.csv` and `faults.csv` (what is wrong on purpose), `demo.json`.
"""

from radrefine.demo.collection import make_demo
from radrefine.demo.items import DEFAULT_IMAGES, DemoOptions, DemoSummary

__all__ = ["DEFAULT_IMAGES", "DemoOptions", "DemoSummary", "make_demo"]
