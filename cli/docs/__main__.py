"""Write a page per command: python -m cli.docs."""

from pathlib import Path

from cli.docs.commands import command_pages


def main() -> None:
    """Write the pages into `commands/` beside this file, and remove those of commands that are gone."""
    folder = Path(__file__).parent / "commands"
    pages = command_pages()
    for page in folder.glob("*.md"):
        if page.name not in pages:
            page.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
