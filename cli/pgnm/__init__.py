"""The command `pgnm`."""

from typing import Annotated

import typer

from cli._terminal import JsonErrors
from cli.pgnm.eval import eval_
from cli.pgnm.finetune import finetune
from cli.pgnm.pack import pack
from cli.pgnm.pretrain import pretrain
from cli.pgnm.push import push
from cli.pgnm.report import report
from cli.pgnm.study import study

app = typer.Typer(
    name="pgnm",
    cls=JsonErrors,
    help="Pretrain, finetune and judge image classifiers with a learned noise mask.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from pgnm import __version__

        typer.echo(f"pgnm {__version__}")
        raise typer.Exit


@app.callback()
def _pgnm(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command()(pretrain)
app.command()(finetune)
app.command("eval")(eval_)
app.command()(report)
app.command()(study)
app.command()(pack)
app.command()(push)


def main() -> None:
    """Run the command line."""
    app()
