"""Layouts of the papers that offices make: inspection certificates, work orders, packing lists."""

from __future__ import annotations

import random

from examples.ocr.rendering import texts
from examples.ocr.rendering.sheet import Rule, Sheet, Stamp, Style
from examples.ocr.rendering.slips import STAMP_COLORS


def certificate(rng: random.Random) -> Sheet:
    """An inspection certificate: a printed form filled in with a typewriter."""
    sheet = Sheet("certificate", 900, 1060, rng.choice(((250, 247, 236), (246, 243, 226))))
    green = rng.choice(((34, 92, 74), (40, 60, 120), (70, 70, 70)))
    form, title = Style("condensed", 18, "form", green), Style("slab", 30, "form", green)
    typed = Style(rng.choice(("typewriter", "typewriter", "courier")), 23, "typewriter", (46, 44, 58))
    name, place = texts.COMPANIES["certificate"]
    sheet.text(60, 34, name, title)
    sheet.text(60, 86, place, form)
    sheet.text(520, 44, "INSPECTION CERTIFICATE 3.1", Style("condensed-bold", 24, "form", green))
    fields = (
        ("Certificate №", f"{texts.digits(rng, 4)}/{texts.digits(rng, 2)}"),
        ("Date of issue", texts.date(rng)),
        ("Part number", texts.part_number(rng)),
        ("Designation", texts.part(rng)[0]),
        ("Heat / lot", texts.lot(rng)),
        ("Material", texts.part(rng)[1]),
    )
    for index, (label, value) in enumerate(fields):
        x, y = 60 + 420 * (index % 2), 122 + 62 * (index // 2)
        sheet.line(y + 52, x - 8, x + 390)
        sheet.text(x, y - 6, label, form)
        sheet.text(x + 40, y + 16, value, typed)
    top = 330
    sheet.rules.append(Rule(52, top - 8, 850, top + 24, color=(226, 232, 222), filled=True))
    sheet.row(top - 4, [(66, "Characteristic"), (300, "Specified"), (610, "Measured")], form)
    y = top + 40
    for _ in range(rng.randint(5, 6)):
        characteristic, specified, measured = texts.dimension(rng)
        sheet.row(y, [(66, characteristic), (270, specified), (610, measured)], typed)
        sheet.line(y + 37, 52, 850)
        y += 46
    sheet.text(60, y + 8, "Remarks", form)
    sheet.text(100, y + 40, texts.note(rng), typed)
    sheet.text(60, y + 88, "Quantity inspected / released", form)
    sheet.text(100, y + 122, f"{rng.randint(5, 80)} / {texts.quantity(rng)}", typed)
    label = rng.choice(("ACCEPTED", "QC PASSED", "RELEASED", "REWORK"))
    sheet.stamps.append(Stamp(rng.uniform(610, 700), y + 112, label, 32, rng.uniform(-5, 5), rng.choice(STAMP_COLORS)))
    if rng.random() < 0.6:
        sheet.stamps.append(Stamp(rng.uniform(200, 800), rng.uniform(380, 700), "", 22, 0, rng.choice(STAMP_COLORS)))
    return sheet


def work_order(rng: random.Random) -> Sheet:
    """A work order: narrow letters in tired toner, filled in by a nine-pin printer."""
    sheet = Sheet("work_order", 940, 1040, (247, 247, 247))
    small, bold = Style("condensed", 19, "laser"), Style("condensed-bold", 20, "laser")
    code, head = Style("ocr-b", 22, "laser"), Style("condensed-bold", 34, "laser")
    filled = Style("dots", 24, "dot_matrix", (54, 50, 64))
    name, place = texts.COMPANIES["work_order"]
    sheet.text(50, 30, name, head)
    sheet.text(50, 78, place, small)
    sheet.text(590, 34, "WORK ORDER", head)
    sheet.text(590, 80, f"WO-{texts.digits(rng, 5)}-{texts.letters(rng, 1)}", code)
    pairs = (
        ("Part", texts.part_number(rng)),
        ("Drawing", f"{texts.digits(rng, 3)}.{texts.digits(rng, 3)} rev {texts.letters(rng, 1)}"),
        ("Due", texts.date(rng)),
        ("Qty", texts.quantity(rng)),
        ("Raw", f"Ø{rng.randint(12, 90)} {texts.part(rng)[1]}"),
        ("Heat", texts.lot(rng)),
    )
    for index, (label, value) in enumerate(pairs):
        x, y = (50, 325, 655)[index % 3], 124 + 40 * (index // 3)
        sheet.text(x, y, f"{label}:", bold)
        sheet.text(x + 98, y - 3, value, filled)
    y = 216
    sheet.rules.append(Rule(44, y - 4, 896, y + 28, color=(214, 214, 214), filled=True))
    sheet.row(y, [(52, "Operation"), (340, "Machine"), (520, "Setting"), (800, "Done")], bold)
    y += 42
    for step in range(1, rng.randint(5, 6)):
        setting = rng.choice(
            (
                texts.dimension(rng)[1],
                f"n={rng.randint(4, 40) * 100} f=0.{rng.randint(5, 30):02}",
                f"{rng.randint(2, 12)} bar / {rng.randint(20, 90)} °C",
                f"ap {rng.uniform(0.2, 3):.1f} mm",
            )
        )
        sheet.row(y, [(52, f"{step * 10}  {rng.choice(texts.OPERATIONS)}"), (340, rng.choice(texts.MACHINES))], small)
        sheet.text(520, y - 2, setting, filled)
        sheet.rules += [
            Rule(810, y, 828, y, 1),
            Rule(810, y + 18, 828, y + 18, 1),
            Rule(810, y, 810, y + 18, 1),
            Rule(828, y, 828, y + 18, 1),
        ]
        sheet.line(y + 32, 44, 896)
        y += 46
    sheet.text(52, y + 12, "Notes", bold)
    for line in range(2):
        sheet.text(80, y + 44 + 32 * line, texts.note(rng), small)
    sheet.text(
        52,
        y + 122,
        f"{texts.letters(rng, 3)}<{texts.digits(rng, 9)}<<{texts.digits(rng, 4)}>{texts.letters(rng, 2)}",
        code,
    )
    if rng.random() < 0.5:
        sheet.stamps.append(
            Stamp(
                rng.uniform(560, 760),
                y + 96,
                rng.choice(("URGENT", "COPY", "PRIORITY")),
                32,
                rng.uniform(-5, 5),
                STAMP_COLORS[0],
            )
        )
    return sheet


def packing_list(rng: random.Random) -> Sheet:
    """A packing list off an inkjet printer with blocked nozzles, in a fixed pitch."""
    sheet = Sheet("packing_list", 900, 1000, (250, 250, 250))
    ink = rng.choice(((40, 44, 70), (30, 30, 34)))
    mono, head = Style(rng.choice(("inconsolata", "league")), 21, "inkjet", ink), Style("courier", 32, "inkjet", ink)
    name, place = texts.COMPANIES["packing_list"]
    sheet.text(56, 32, name, head)
    sheet.text(56, 80, place, mono)
    sheet.row(118, [(56, f"Packing list № {texts.digits(rng, 5)}"), (560, texts.date(rng))], mono)
    sheet.row(
        148,
        [
            (56, f"Consignee dept. {texts.letters(rng, 2)}{texts.digits(rng, 2)}"),
            (560, f"Box {rng.randint(1, 4)} of {rng.randint(4, 9)}"),
        ],
        mono,
    )
    sheet.line(184, 50, 850, 2)
    sheet.row(194, [(56, "Item"), (260, "Description"), (560, "Batch"), (720, "Qty")], mono)
    sheet.line(226, 50, 850)
    y = 240
    for _ in range(rng.randint(4, 5)):
        description, standard = texts.part(rng)
        sheet.row(
            y,
            [(56, texts.part_number(rng)), (260, description), (560, texts.lot(rng)), (720, texts.quantity(rng))],
            mono,
        )
        size = rng.choice((texts.dimension(rng)[1], f"Ø{rng.uniform(1, 50):.1f} × {rng.randint(5, 300)} mm"))
        sheet.text(280, y + 30, f"{standard}  {size}", mono)
        y += 72
    sheet.line(y, 50, 850, 2)
    sheet.row(
        y + 16,
        [
            (56, f"Gross {rng.uniform(2, 90):.2f} kg"),
            (320, f"Net {rng.uniform(1, 80):.2f} kg"),
            (560, f"{rng.randint(20, 60)}×{rng.randint(20, 60)}×{rng.randint(10, 60)} cm"),
        ],
        mono,
    )
    sheet.text(56, y + 54, texts.note(rng), mono)
    sheet.text(
        56,
        y + 92,
        f"Seal {texts.letters(rng, 2)}-{texts.digits(rng, 7)} / HS {texts.digits(rng, 4)}.{texts.digits(rng, 2)}",
        mono,
    )
    if rng.random() < 0.5:
        sheet.stamps.append(
            Stamp(rng.uniform(640, 720), y + 128, "SHIPPED", 30, rng.uniform(-4, 4), rng.choice(STAMP_COLORS))
        )
    return sheet
