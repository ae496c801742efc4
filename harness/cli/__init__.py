"""The verbs, one file each. They import what they need when they are called, so that --help answers at once."""

from __future__ import annotations

import typer

from harness.cli import adopt, compare, data, doctor, forecast, importing, report, run, serving, status, verify, watch
from harness.cli.exits import Verbs

app = typer.Typer(
    name="harness",
    cls=Verbs,
    help="What QLoRA costs and saves against LoRA on your model, your data and your device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_HYDRA = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}

app.command(context_settings=_HYDRA)(run.run)
app.command(context_settings=_HYDRA)(run.sweep)
app.command(context_settings=_HYDRA)(forecast.forecast)
app.command()(report.report)
app.command()(adopt.adopt)
app.command()(compare.compare)
app.command()(doctor.doctor)
app.command()(serving.merge)
app.command()(serving.chat)
app.command()(serving.serve)
app.command()(serving.webchat)
app.command("import", context_settings=_HYDRA)(importing.import_file)
app.command(context_settings=_HYDRA)(data.data)
app.command()(status.status)
app.command()(watch.watch)
app.command()(verify.verify)
