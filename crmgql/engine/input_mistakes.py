"""What can be wrong between what clients may send and the verb that takes it: a class per mistake, each with its fix."""

from __future__ import annotations

from typing import ClassVar

from crmgql.errors import DeclarationError


class InputMistake(DeclarationError):
    """An input and its verb don't fit together: `wrong` says how, with `fix`."""

    wrong: ClassVar[str]
    fix: ClassVar[str]

    def __init__(self, where: str, **words: str) -> None:
        super().__init__(f"{where}: {self.wrong.format(**words)}; {self.fix.format(**words)}.")


class UnknownParameter(InputMistake):
    wrong = "{verb} takes no {name}"
    fix = "give it this keyword parameter, name the column in its @takes, or take the field out of the input"


class PositionalParameter(InputMistake):
    wrong = "{verb} takes {name} by its place"
    fix = "make it a keyword-only parameter, behind the *"


class MissingField(InputMistake):
    wrong = "{verb} can't be called without {name}, which the input need not have"
    fix = "make the field required, or give the parameter a default"


class NullNotTaken(InputMistake):
    wrong = "it may be null, but {name} of {verb} may not be None"
    fix = "make the field required, or let the parameter be None"


class WrongType(InputMistake):
    wrong = "{verb} gets a {type} for it, which its {name} is not"
    fix = "change the type of the field, or that of the parameter or column"


class OpenColumns(InputMistake):
    wrong = "{verb} takes any column as **{name}"
    fix = "say with @takes which, or with calls= to which verb it passes them on"


class UnknownColumn(InputMistake):
    wrong = "{verb} says that it takes {name}, which is no column of {model}"
    fix = "correct the name in its @takes, or make it a parameter"


class FrozenOrigin(InputMistake):
    wrong = "{verb} would change {name}, which is set once, when the record is made"
    fix = "take ORIGIN out of its @takes"


class FixedArguments(InputMistake):
    wrong = "its row has {given} fixed arguments, {verb} takes {wanted} before its keyword parameters"
    fix = "name as many behind the verb"


class UnknownIdTarget(InputMistake):
    wrong = "no declared type is called {name}, of which its ids would be"
    fix = "name the type in RECORDS in crmgql/engine/input_values.py"


class UnknownPart(InputMistake):
    wrong = "nothing says what a verb gets for a {name}"
    fix = "declare it with @part"
