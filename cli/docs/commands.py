"""Render a page per command from the code that makes the command, so that the two cannot drift apart."""

import inspect
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.pgnm import app as pgnm
from cli.radrefine import app as radrefine

_PROGRAMS: Final = {"radrefine": radrefine, "pgnm": pgnm}
_TYPES: Final = {Path: "path", str: "text", int: "number", float: "number", bool: ""}
_NOTE: Final = "<!-- Written by `python -m cli.docs` from the code of the command; change it there. -->"


@dataclass(frozen=True, slots=True)
class Option:
    """One option or argument of a command.

    Attributes:
        names: How it is written, such as `--jobs`, `-j`; the name in capitals for an argument.
        argument: Whether it is given by its place.
        takes: Kind of its value; empty for a switch.
        required: Whether the command needs it.
        repeated: Whether it may be given more than once.
        default: Its value when left out; empty where that says nothing.
        help: What it does.
    """

    names: tuple[str, ...]
    argument: bool
    takes: str
    required: bool
    repeated: bool
    default: str
    help: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command: program and name (after that of its group, if any), what it does, and its options."""

    program: str
    name: str
    help: str
    options: tuple[Option, ...]


def commands() -> Iterator[Command]:
    """Yield every command of both programs, by name."""
    for program, app in _PROGRAMS.items():
        yield from _commands_of(program, app, typer.main.get_command(app))


def _commands_of(program: str, app: typer.Typer, made: Any, group: str = "") -> Iterator[Command]:
    """Yield the commands of an app, and after the name of a group those in it; `made` is what Typer makes of `app`."""
    callbacks = {_name(info): info.callback for info in app.registered_commands if info.callback is not None}
    groups = {info.name: info.typer_instance for info in app.registered_groups if info.typer_instance is not None}
    for name in sorted(made.commands):
        command = made.commands[name]
        if name in groups:
            yield from _commands_of(program, groups[name], command, f"{group}{name} ")
            continue
        parameters = inspect.signature(callbacks[name], eval_str=True).parameters
        kinds = {key: parameter.annotation for key, parameter in parameters.items()}
        options = tuple(_option(made_from, kinds.get(made_from.name)) for made_from in command.params)
        yield Command(program, group + name, inspect.cleandoc(command.help or ""), options)


def _name(info: Any) -> str:
    return str(info.name or info.callback.__name__.replace("_", "-"))


def _option(parameter: Any, annotation: Any) -> Option:
    argument = parameter.param_type_name == "argument"
    kind, repeated = _kind(annotation)
    names = (*parameter.opts, *parameter.secondary_opts)
    return Option(
        names=((parameter.metavar or parameter.name).upper().rstrip("."),) if argument else names,
        argument=argument,
        takes=_TYPES.get(kind, "text"),
        required=bool(parameter.required),
        repeated=repeated,
        default=_default(parameter.default, parameter),
        help=" ".join((getattr(parameter, "help", None) or "").split()),
    )


def _kind(annotation: Any) -> tuple[Any, bool]:
    """Return the type of one value, and whether there may be several."""
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        annotation = next(part for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is list:
        return typing.get_args(annotation)[0], True
    return annotation, False


def _default(value: Any, parameter: Any) -> str:
    if value is None or value is False or value == () or callable(value):
        return ""
    if value is True:
        return str(parameter.opts[0])
    return "the current folder" if isinstance(value, Path) and value == Path() else str(value)


def command_pages() -> dict[str, str]:
    """Return the text of every page by its file name; `README.md` lists them."""
    found = list(commands())
    pages = {_file(command): _page(command) for command in found}
    return {**pages, "README.md": _index(found)}


def _file(command: Command) -> str:
    return f"{command.program}-{command.name.replace(' ', '-')}.md"


def _page(command: Command) -> str:
    arguments = [option for option in command.options if option.argument]
    options = [option for option in command.options if not option.argument]
    words = [_usage(option) for option in arguments]
    words += [f"{option.names[0]} {option.names[0].lstrip('-').upper()}" for option in options if option.required]
    lines = [
        _NOTE,
        f"# {command.program} {command.name}",
        "",
        command.help,
        "",
        "```text",
        " ".join([command.program, command.name, *words, "[OPTIONS]"]),
        "```",
        "",
    ]
    for title, chosen in (("argument", arguments), ("option", options)):
        if chosen:
            lines += [f"| {title} | takes | default | meaning |", "|---|---|---|---|", *map(_row, chosen), ""]
    lines.append("[All commands](README.md) · [Documentation](../README.md)")
    return "\n".join(lines) + "\n"


def _usage(option: Option) -> str:
    name = option.names[0] + ("..." if option.repeated else "")
    return name if option.required else f"[{name}]"


def _row(option: Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.names)
    takes = option.takes + (", repeated" if option.repeated and not option.argument else "")
    default = "required" if option.required else f"`{option.default}`" if option.default else ""
    return f"| {names} | {takes} | {default} | {option.help.replace('|', '&#124;')} |"


def _index(found: list[Command]) -> str:
    lines = [_NOTE, "# Commands", "", "| command | what it does |", "|---|---|"]
    for command in found:
        first = command.help.split("\n\n", 1)[0].replace("\n", " ")
        lines.append(f"| [`{command.program} {command.name}`]({_file(command)}) | {first} |")
    lines += [
        "",
        "Every command takes `--help`, `--quiet` and `--json`, and tells by its exit code how it went: 0 done, "
        "1 failed, 2 wrong usage, 3 finished with failed images, 4 leakage or verification found, 130 interrupted.",
        "",
        "[Documentation](../README.md)",
    ]
    return "\n".join(lines) + "\n"
