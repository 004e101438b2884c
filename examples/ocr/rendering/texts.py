"""What the demo documents say: part numbers, dimensions, lots and phrases of a small factory, all made up.

Companies and places are fictitious and no person is named. Every function draws from the generator it is given, so a
page is decided by its seed alone.
"""

from __future__ import annotations

import random

COMPANIES = {
    "delivery_note": ("HOLLOWBROOK FORGE LTD", "SLIPWAY ROAD 7, HARROWMERE HM4 2QD"),
    "goods_receipt": ("TESSALY FASTENERS", "GATE 3 RECEIVING, DOCK B"),
    "certificate": ("Ostermark Precision Works", "Kilnfield Lane 18, Nether Alden"),
    "work_order": ("BRAMHALL TOOLROOM CO-OP", "Bay 5, Tannery Yard, Westerlow"),
    "packing_list": ("Quillon Springs & Wire", "Wharf Street 112, Port Embry"),
    "weigh_ticket": ("NORVANE METALS", "WEIGHBRIDGE 2 / SCALE №"),
}

_PARTS = (
    ("Dowel pin hardened", "DIN 6325"),
    ("Guide bush bronze", "CuSn12-C"),
    ("Hex socket screw", "A2-70"),
    ("Bearing spacer ground", "100Cr6"),
    ("Flange blank forged", "S355J2+N"),
    ("Shaft collar split", "C45E"),
    ("Compression spring", "EN 10270-1 SH"),
    ("Retaining ring ext.", "DIN 471"),
    ("Valve seat insert", "X46Cr13"),
    ("Linear rail carriage", "LRC-25"),
    ("O-ring FKM 75 Sh", "ISO 3601"),
    ("Pinion module 1.5", "16MnCr5"),
    ("Thrust washer", "PTFE/Bz"),
    ("Clamp lever M10", "GN 300"),
    ("Tie rod threaded", "42CrMo4+QT"),
    ("Bevel gear z=23", "18CrNiMo7-6"),
    ("Hydraulic fitting", "24° cone"),
    ("Locating stud", "1.4305"),
    ("Die insert EDM", "1.2379 HRC 60"),
    ("Cover plate laser cut", "DC01 2.0 mm"),
    ("Coupling hub", "GJL-250"),
    ("Wire rod coil", "C9D"),
    ("Punch guide plate", "1.2842"),
    ("Piston seal kit", "NBR 90"),
)
_SHORT = (
    "BUSH",
    "PIN",
    "SCREW",
    "WASHER",
    "SPACER",
    "FLANGE",
    "COLLAR",
    "SPRING",
    "RING",
    "INSERT",
    "HUB",
    "STUD",
    "GEAR",
    "PLATE",
    "ROD",
    "SEAL KIT",
    "LEVER",
    "FITTING",
)
_NOTES = (
    "Return pallets and dividers with next truck",
    "Deburr all edges 0.2 - 0.4 mm",
    "Store dry, 15 - 25 °C, max 60 % r.h.",
    "Do not stack more than 3 layers",
    "Sample retained under lot number",
    "Torque 24 ±2 N·m, oiled thread",
    "Check coolant level before 2nd shift",
    "Surface Ra 0.8 µm on seat only",
    "Zinc flake coating, min 8 µm",
    "Shortage to follow with order balance",
    "Protect ground faces with VCI film",
    "Gauge block set №3 used, cal. valid",
    "First part release by quality before batch",
    "Scrap to bin 4, chips separate by alloy",
    "Marking: lot + week laser, 2 mm high",
    "Partial delivery, remainder week 38",
    "Count by weight, tare 1.240 kg deducted",
    "Keep away from magnets, demagnetised < 2 A/cm",
)
MACHINES = ("LATHE L-07", "MILL M-12", "GRINDER G-03", "SAW S-01", "EDM E-02", "PRESS P-15", "WASH W-04", "CMM Q-01")
OPERATIONS = (
    "Saw to length",
    "Turn OD and face",
    "Drill and ream",
    "Mill flats",
    "Heat treat to spec",
    "Grind OD between centres",
    "Wash and dry",
    "Inspect 100 %",
    "Engrave lot no.",
    "Press in bush",
    "Deburr by hand",
    "Hone bore",
    "Wire cut profile",
)
CARRIERS = ("OWN TRUCK", "NORTHLINE FREIGHT", "CANAL & ROAD CO", "COURIER EXPRESS")


def digits(rng: random.Random, count: int) -> str:
    """Returns `count` random decimal digits."""
    return "".join(rng.choice("0123456789") for _ in range(count))


def letters(rng: random.Random, count: int) -> str:
    """Returns `count` capitals, without I and O as numbering rules have it, those like digits more often."""
    return "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZBDQSZ") for _ in range(count))


def date(rng: random.Random) -> str:
    """Returns a date as one of the ways in which factories write it."""
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(21, 25)
    return rng.choice((f"{day:02}.{month:02}.20{year}", f"20{year}-{month:02}-{day:02}", f"{day:02}/{month:02}/{year}"))


def time_of_day(rng: random.Random) -> str:
    """Returns a time such as 07:42:10."""
    return f"{rng.randint(5, 21):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"


def part_number(rng: random.Random) -> str:
    """Returns a part number in one of seven shapes."""

    def d(count: int) -> str:
        return digits(rng, count)

    def a(count: int) -> str:
        return letters(rng, count)

    return rng.choice(
        (
            f"{a(2)}-{d(4)}-{d(2)}{a(1)}",
            f"{a(2)} {d(2)}.{d(3)}/{d(1)}",
            f"{d(2)}-{d(3)}-{d(4)}",
            f"{a(1)}{d(3)}{a(2)}{d(2)}",
            f"{d(4)}.{d(2)}-{a(1)}{d(1)}",
            f"{a(3)}/{d(3)}-{d(2)}",
            f"{a(1)}{d(1)}{a(1)}{d(1)}-{d(5)}",
        )
    )


def lot(rng: random.Random) -> str:
    """Returns a lot or heat number."""
    mixed = f"LOT {digits(rng, 2)}{letters(rng, 1)}{digits(rng, 3)}"
    return rng.choice((f"H-{digits(rng, 6)}", mixed, f"{letters(rng, 2)}{digits(rng, 5)}"))


def part(rng: random.Random) -> tuple[str, str]:
    """Returns a part's description and its standard or material."""
    return rng.choice(_PARTS)


def short_part(rng: random.Random) -> str:
    """Returns a description that fits a narrow slip, such as BUSH Ø12×20."""
    name, d = rng.choice(_SHORT), rng.choice((3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 32))
    size = rng.choice((f"Ø{d}×{d * rng.randint(2, 5)}", f"M{d}×{rng.choice((16, 20, 25, 40))}", f"{d}H7"))
    return f"{name} {size}"


def dimension(rng: random.Random) -> tuple[str, str, str]:
    """Returns a characteristic, its specified value with tolerance, and one measured value with its unit."""
    nominal, tolerance = rng.uniform(3, 180), rng.choice((0.005, 0.01, 0.02, 0.05, 0.1))
    measured = nominal + rng.uniform(-0.9, 0.9) * tolerance
    upper, lower = rng.randint(2, 25) / 1000, rng.randint(2, 25) / 1000
    angle, rough, hard = rng.choice((15, 30, 45, 60, 90)), rng.choice((0.4, 0.8, 1.6, 3.2)), rng.randint(40, 60)
    kinds = (
        ("Outer dia.", f"Ø{nominal:.3f} h6", f"{measured:.3f} mm"),
        ("Bore", f"Ø{nominal:.2f} ±{tolerance:.3f}", f"{measured:.3f} mm"),
        ("Length", f"{nominal:.2f} ±{tolerance:.2f}", f"{measured:.3f} mm"),
        ("Groove", f"{nominal:.2f} +{upper:.3f}/-{lower:.3f}", f"{measured:.3f} mm"),
        ("Chamfer", f"{angle}° ±0.5°", f"{angle + rng.uniform(-0.4, 0.4):.2f}°"),
        ("Surface", f"Ra {rough} µm", f"{rough * rng.uniform(0.5, 0.95):.2f} µm"),
        ("Hardness", f"HRC {hard} ±2", f"{hard + rng.uniform(-1.8, 1.8):.1f}"),
        ("Runout", f"≤ {tolerance:.3f} mm", f"{tolerance * rng.uniform(0.2, 0.9):.4f} mm"),
    )
    return rng.choice(kinds)


def note(rng: random.Random) -> str:
    """Returns a remark of up to 48 characters."""
    return rng.choice(_NOTES)


def quantity(rng: random.Random) -> str:
    """Returns a count of pieces, boxes or kilograms."""
    round_count = rng.choice((1, 2, 5)) * 10 ** rng.randint(1, 3)
    return rng.choice((f"{round_count} pcs", f"{rng.randint(3, 480)} pcs", f"{rng.uniform(0.4, 900):.2f} kg"))
