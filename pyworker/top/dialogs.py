"""What opens above the lists: a text to read, and a question before something dangerous."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

__all__ = ["Question", "Reading"]


class Reading(ModalScreen[None]):
    """A text, to be scrolled; any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Close")]

    def __init__(self, text: str) -> None:
        """Show this text as it is."""
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with VerticalScroll(classes="dialog"):
            yield Static(Text(self._text))


class Question(ModalScreen[bool]):
    """A question that only `y` agrees to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,q,enter", "answer(False)", "No"),
    ]

    def __init__(self, text: str) -> None:
        """Ask this."""
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Static(Text(f"{self._text} [y/N]"), classes="question")

    def action_answer(self, agreed: bool) -> None:  # noqa: FBT001  textual passes it so
        """Close with the answer."""
        self.dismiss(agreed)
