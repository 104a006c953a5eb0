"""The words on screens: sides, places, views, settings, results, lines about the patient and the exam."""

import numpy as np


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split(" | "))


PLACES = _listed(
    "BREAST | AXILLA | THYROID | LIVER | KIDNEY | OVARY | HIP | SPLEEN | NECK | UTERUS | BLADDER | AORTA | "
    "GALLBLADDER | PANCREAS | LUNG | PLEURA | CERVIX | FETUS | HEAD | FEMUR | SPINE | PLACENTA | TESTIS | KNEE | "
    "SHOULDER | CAROTID | IVC | ENDO | CBD | PORTAL V | ACHILLES | LOBE | NODULE | MASS"
)
"""Names of body parts in annotations."""

SIDES = _listed("LT | RT | LEFT | RIGHT | L | R | Lt | Rt | left | right | lt | rt | Li | Re | MED | LAT")
VIEWS = _listed(
    "TRANS | SAG | LONG | TRV | MID | UPPER | LOWER | RAD | ARAD | SUBCOSTAL | 10 o'clock | 2 N+3cm | UOQ | LOQ | "
    "UIQ | LIQ | LOQ C | C | above nipple | SATELITE | 10:00 | prone | SUP | INF | LONG AXIS | 4CH | PLAX | A4C | "
    "ISTHMUS | HILUM | W/ COLOR | PRE | POST VOID | INTERCOSTAL | AP | TA | TV | 3D"
)
SETTINGS = _listed(
    "2D | Gn {a} | DR {a} | {a}fps | 12L5 | {b} cm | MI {c} | TIS {c} | FR {a}Hz | C {a} | P {a}% | DR6{d} | S/A "
    "{a}/2 | Map 3 | Res | Harm | Frq {b} | D {b}cm | AO {a}% | Pwr 100 | [{a}] | Chroma {d} | L12-5 | {a}% | HPen "
    "| P Low | Gen THI | TIs{c} | TIb {c} | C5-1 | B FREQ {b} MHz | G {a} | FPS {a} | XV C | PRF {b}k | WF {a}Hz | "
    "F {b}M | Dyn {a}dB | E{d} | 12L  9.0 | FA {d} | Persist {d} | 0.{a} | Z {c} | 9L-D | 2D / MI | PI {c} | DEPTH "
    "{b} | H{b}MHz | AGn {a} | {a} Hz | 16cm | OPT:1 | SRI {d} | CRI {d} | {d}/4"
)
RESULTS = _listed(
    "1 D {c}cm | Dist A {b}mm | + {b} mm | L {c} cm | Vol {b} ml | A: {c}cm | x {c} cm | {c}cm | 1 L {c} cm | BPD "
    "{b}mm | HC {b}cm | FL {b} mm | GA {a}w{d}d | EFW {a}{a}g | RI {c} | PS {b}cm/s | Area {c}cm\u00b2 | D1 {b} mm "
    "| D2 {b} mm | Asc Ao {c} cm | E {b} kPa | EDD | Circ {b} cm | IMT 0.{a}mm | L1 {c}mm | {a}bpm"
)
NUMBERS = _listed("{a} | {d} | {c} | {b} | 0 | 5 | 10 | 15 | {a}{a} | -{d} | +{b}")
RECORDS = _listed(
    "ID: {a}{a}{a} | {a}.{d}.20{a} | 0{d}/{a}/20{a} | {a}:{a}:{a} | {n}, {n} | {n} {n} | F 0{a}Y | M {a} | LMP | "
    "{n} HOSPITAL | {n} CLINIC | Acc# {a}{a}{a} | DOB 19{a} | IM: {a}/{a} | Adult Echo | OB 2/3 | {n}^{n} | Abd | "
    "Small Parts | GYN | Thyroid | Breast | MSK | Vasc Car | 20{a}-0{d}-{a} | {a} Jul {a}  {a}:{a} pm | SE {d}"
)
"""Lines of a header; "{n}" stands for random letters, as names of persons and houses do."""

BUTTONS = _listed(
    "Gen | Sector | MB Off | THI On | Page 1/3 | FREEZE | Patient | Exam | 2D | M | CF | Print | Save | Text | "
    "Measure | Body Mark | Caliper | Clip | Review | PW | B | Gain {a} | Depth | Focus | Exit | Next | Menu | "
    "Left/Right | Up/Down | Report | iScan | Dual | Zoom | Invert | Steer | Dyn Range | Frame Avg | Store"
)


def filled(rng: np.random.Generator, text: str) -> str:
    """Fill the numbers and letters into a line of one of these lists."""
    values = {"a": rng.integers(10, 100), "b": f"{rng.uniform(1, 30):.1f}", "c": f"{rng.uniform(0.2, 4):.2f}"}
    return text.format(d=rng.integers(1, 9), n=letters(rng, int(rng.integers(3, 9))), **values)


def letters(rng: np.random.Generator, count: int) -> str:
    """Return random capital letters."""
    return "".join(chr(65 + int(number)) for number in rng.integers(0, 26, count))
