"""The console: whatever a user's text holds, it is shown as it is."""

from typing import IO, Any

import rich.console
from rich.text import Text

LOG_WIDTH = 120
CODES = (*range(32), *range(127, 160))
CONTROLS = {code: f"\\x{code:02x}" for code in CODES if chr(code) not in "\n\t"}


class Console(rich.console.Console):
    """Where all is printed; [brackets] and :names: in texts and tables mean nothing to it.

    Control characters, and those that the file's encoding lacks, are shown with backslashes.

    Args:
        file: Where to write; default: standard output.
        width: Columns of a table; default: the terminal's.
    """

    def __init__(self, file: IO[str] | None = None, width: int | None = None):
        super().__init__(file=file, width=width, markup=False, emoji=False, highlight=False)
        if width is None and not self.file.isatty():
            self.width = LOG_WIDTH

    def say(self, text: str | Text, style: str | None = None) -> None:
        """Print lines of any length: a terminal breaks them, a log has them whole."""
        self.print(text, style=style, soft_wrap=True)

    def render_str(self, text: str, **how: Any) -> Text:
        """Rich's way from any text to what is printed."""
        shown = text.translate(CONTROLS).encode(self.encoding, "backslashreplace")
        return super().render_str(shown.decode(self.encoding), **how)
