"""The command `radrefine`."""

from typing import Annotated

import typer

from cli._terminal import JsonErrors
from cli.radrefine.audit import audit
from cli.radrefine.bench import bench
from cli.radrefine.clean import clean
from cli.radrefine.demo import demo
from cli.radrefine.fetch import fetch
from cli.radrefine.masks import masks
from cli.radrefine.push import push
from cli.radrefine.report import report
from cli.radrefine.split import split
from cli.radrefine.templates import templates
from cli.radrefine.train_detector import train_detector

app = typer.Typer(
    name="radrefine",
    cls=JsonErrors,
    help="Turn a raw medical image collection into a refined, leak-free, published dataset.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from radrefine import __version__

        typer.echo(f"radrefine {__version__}")
        raise typer.Exit


@app.callback()
def _radrefine(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command()(audit)
app.command()(bench)
app.command()(demo)
app.command()(clean)
app.command()(masks)
app.command()(report)
app.command()(split)
app.command()(push)
app.command()(fetch)
app.command()(train_detector)
app.add_typer(templates, name="templates")


def main() -> None:
    """Run the command line."""
    app()
