"""Layouts of the papers that small printers make: goods-receipt slips, weigh tickets, dot-matrix delivery notes."""

from __future__ import annotations

import random

from examples.ocr.rendering import texts
from examples.ocr.rendering.sheet import RGB, Rule, Sheet, Stamp, Style

STAMP_COLORS: tuple[RGB, ...] = ((178, 38, 44), (38, 60, 150), (84, 50, 130))


def delivery_note(rng: random.Random) -> Sheet:
    """A delivery note off a nine-pin printer, on continuous paper with green bars."""
    sheet = Sheet("delivery_note", 880, 1000, (246, 246, 238), holes=True)
    style = Style("dots", 24, "dot_matrix", rng.choice(((40, 40, 52), (52, 46, 60))))
    for y in range(200, 860, 92):
        sheet.rules.append(Rule(30, y, 850, y + 46, color=(222, 236, 218), filled=True))
    name, place = texts.COMPANIES["delivery_note"]
    sheet.text(60, 44, f"{name} · {place}", style)
    sheet.row(84, [(60, f"DELIVERY NOTE № {texts.digits(rng, 6)}"), (600, f"DATE {texts.date(rng)}")], style)
    sheet.row(114, [(60, f"YOUR ORDER {texts.part_number(rng)}")], style)
    sheet.row(
        144,
        [(60, f"SHIP VIA {rng.choice(texts.CARRIERS)}"), (600, f"DOCK {rng.choice('ABCD')}{rng.randint(1, 9)}")],
        style,
    )
    columns = (60, 140, 350, 620, 740)
    sheet.row(180, list(zip(columns, ("POS", "PART NO", "DESCRIPTION", "QTY", "LOT"), strict=True)), style)
    y = 214
    for position in range(1, rng.randint(5, 6)):
        quantity, piece = texts.quantity(rng).upper(), texts.short_part(rng)
        sheet.row(y, [(60, f"{position * 10:03}"), (140, texts.part_number(rng)), (350, piece), (620, quantity)], style)
        sheet.row(
            y + 32,
            [
                (
                    350,
                    rng.choice(
                        (
                            f"TOL ±0.{texts.digits(rng, 2)} MM",
                            f"MAT {texts.part(rng)[1]}",
                            f"{texts.lot(rng)} Ø{texts.digits(rng, 2)}.{texts.digits(rng, 2)}",
                        )
                    ),
                ),
                (740, f"L{texts.digits(rng, 5)}"),
            ],
            style,
        )
        y += 72
    sheet.text(60, y + 16, f"TOTAL GROSS {rng.uniform(20, 1900):.1f} KG   NET {rng.uniform(10, 1700):.1f} KG", style)
    sheet.text(60, y + 52, texts.note(rng).upper(), style)
    sheet.text(
        60, y + 90, f"PALLETS {rng.randint(1, 9)}  CARTONS {rng.randint(2, 60)}  TEMP {rng.randint(12, 31)} °C", style
    )
    if rng.random() < 0.6:
        stamp = rng.choice(("RECEIVED", "CHECKED", "STORES"))
        sheet.stamps.append(
            Stamp(rng.uniform(640, 720), y + 136, stamp, 30, rng.uniform(-4, 4), rng.choice(STAMP_COLORS))
        )
    return sheet


def goods_receipt(rng: random.Random) -> Sheet:
    """A goods-receipt slip off a thermal printer, on a narrow roll."""
    sheet = Sheet("goods_receipt", 660, 1060, (246, 245, 243))
    ink: RGB = rng.choice(((58, 56, 66), (66, 60, 84), (44, 44, 48)))
    style, small = Style("3270", 27, "thermal", ink), Style("3270-narrow", 25, "thermal", ink)
    wide = Style("3270", 36, "thermal", ink)
    name, place = texts.COMPANIES["goods_receipt"]
    sheet.text(120, 30, name, wide)
    sheet.text(150, 76, place, style)
    sheet.row(122, [(50, f"GRN № {texts.digits(rng, 8)}"), (400, texts.date(rng))], style)
    sheet.row(154, [(50, f"PO {texts.part_number(rng)}"), (400, texts.time_of_day(rng))], style)
    sheet.text(50, 186, f"TERMINAL {texts.letters(rng, 1)}{texts.digits(rng, 2)}  SHIFT {rng.randint(1, 3)}", style)
    sheet.line(222, 44, 616)
    y = 238
    for _ in range(rng.randint(5, 6)):
        sheet.row(y, [(50, texts.part_number(rng)), (440, texts.quantity(rng))], style)
        sheet.text(
            70, y + 33, f"{texts.short_part(rng)}  {rng.choice((texts.lot(rng), texts.dimension(rng)[1]))}", small
        )
        sheet.text(
            70,
            y + 65,
            f"BIN {texts.letters(rng, 1)}-{texts.digits(rng, 2)}-{texts.digits(rng, 1)}  DIFF {rng.randint(-9, 9):+d}",
            small,
        )
        y += 104
    sheet.line(y, 44, 616)
    sheet.row(y + 14, [(50, "LINES / UNITS"), (440, f"{rng.randint(5, 9)} / {texts.digits(rng, 4)}")], style)
    sheet.text(50, y + 54, texts.note(rng), small)
    sheet.text(110, y + 94, f"*{texts.letters(rng, 2)}{texts.digits(rng, 9)}*", wide)
    return sheet


def weigh_ticket(rng: random.Random) -> Sheet:
    """A ticket of a weighbridge and its gauge: figures in segments, words by a terminal's printer."""
    sheet = Sheet("weigh_ticket", 700, 920, rng.choice(((250, 244, 222), (244, 240, 240))))
    words, figures = Style("vt220", 28, "thermal", (50, 50, 60)), Style("segments", 27, "thermal", (46, 44, 56))
    ocr = Style("ocr-a", 26, "laser", (40, 40, 40))
    name, place = texts.COMPANIES["weigh_ticket"]
    sheet.text(60, 36, name, Style("ocr-a", 38, "laser", (40, 40, 40)))
    sheet.text(60, 86, f"{place} {rng.randint(1, 9)}", words)
    sheet.row(130, [(60, f"TICKET {texts.letters(rng, 2)}{texts.digits(rng, 6)}"), (430, texts.date(rng))], ocr)
    sheet.row(
        166,
        [
            (60, f"VEHICLE {texts.letters(rng, 2)} {texts.digits(rng, 2)} {texts.letters(rng, 3)}"),
            (430, texts.time_of_day(rng)),
        ],
        ocr,
    )
    sheet.line(206, 50, 650, 2)
    gross = rng.uniform(6000, 38000)
    tare = gross * rng.uniform(0.3, 0.6)
    y = 226
    for label, value in (("GROSS", gross), ("TARE", tare), ("NET", gross - tare)):
        sheet.row(y, [(60, label), (580, "kg")], words)
        sheet.text(300, y - 2, f"{value:.1f}", figures)
        y += 46
    sheet.row(y, [(60, f"HEAT {texts.lot(rng)}"), (400, f"{texts.part(rng)[1][:14]}")], ocr)
    y += 42
    sheet.line(y, 50, 650)
    sheet.row(y + 12, [(60, "№  NOMINAL"), (340, "READING"), (550, "DEV µm")], words)
    y += 52
    for number in range(1, rng.randint(5, 6)):
        nominal, deviation = rng.uniform(2, 99), rng.randint(-48, 48)
        sheet.row(y, [(60, f"{number}  Ø{nominal:.2f}"), (550, f"{deviation:+d}")], words)
        sheet.text(320, y, f"{nominal + deviation / 1000:.3f}", figures)
        y += 43
    sheet.text(
        60, y + 10, f"TEMP {rng.uniform(17, 26):.1f} °C  HUM {rng.randint(28, 66)} %  U ±{rng.randint(1, 9)} µm", words
    )
    sheet.text(60, y + 56, texts.note(rng), words)
    if rng.random() < 0.5:
        sheet.stamps.append(Stamp(rng.uniform(480, 600), rng.uniform(500, 780), "", 24, 0, rng.choice(STAMP_COLORS)))
    return sheet
