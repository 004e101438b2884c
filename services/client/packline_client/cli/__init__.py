"""The `packline` command: one module for each group of commands."""

from packline_client.cli import evaluate, logs, ocr, packs, platform, recommend, top, training
from packline_client.cli.app import Group, new_app

app = new_app(
    "Packline: declare an AI task in a short file, and it is served, measured and kept good.\n\n"
    "Exit codes: 0 done; 1 failed, wholly or in part; 2 wrong usage or input; 3 not found; "
    "4 not available now (not running, busy, out of time); 5 refused as things stand; 130 interrupted.",
    cls=Group,
)
app.command()(platform.up)
app.command()(platform.down)
app.command()(packs.apply)
app.command()(packs.get)
app.command()(packs.describe)
app.command()(packs.delete)
app.add_typer(ocr.app, name="ocr")
app.command()(recommend.recommend)
app.command()(evaluate.evaluate)
app.command()(top.top)
app.command("import")(training.import_)
app.command()(training.correct)
app.command()(training.train)
app.command()(training.publish)
app.command()(training.history)
app.command()(training.approve)
app.command()(training.rollback)
app.command()(logs.logs)
app.command()(platform.ui)
app.command()(platform.version)
