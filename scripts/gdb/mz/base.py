"""What all commands have in common."""

import re

import gdb

from . import walk
from .machine import Machine, fail
from .model import Model


def frame_level():
    """Which frame is selected; 0 where there is none, and before gdb 11."""
    try:
        return gdb.selected_frame().level()
    except (gdb.error, AttributeError):
        return 0


class Command(gdb.Command):
    """A command of gdb's. Its text of help is the class's, its work is `run`."""

    name = ""
    usage = ""

    def __init__(self):
        super().__init__(self.name, gdb.COMMAND_STATUS)

    def invoke(self, argument, _from_tty):
        self.dont_repeat()
        level = frame_level()
        try:
            self.run(gdb.string_to_argv(argument))
        except gdb.GdbError as error:
            # One line, with the command's name.
            raise gdb.GdbError("%s: %s" % (self.name, error)) from None
        except gdb.error as error:
            raise gdb.GdbError("%s: gdb says: %s" % (self.name, error)) from None
        finally:
            if level > 0:
                gdb.execute("select-frame %d" % level, to_string=True)

    def run(self, words):
        """Does what the command is for."""
        raise NotImplementedError

    def want(self, words, least, most=None):
        """So many words, or an error that shows how it is used. What is more than `most` words
        belongs to the last, an expression."""
        most = least if most is None else most
        if len(words) > most > 0:
            words = words[:most - 1] + [" ".join(words[most - 1:])]
        if not least <= len(words) <= most:
            fail("%d words: wanted `%s %s`" % (len(words), self.name, self.usage))
        return words


class MachineCommand(Command):
    """A command that looks at the machine: all is read by physical addresses meanwhile."""

    def run(self, words):
        # An expression may name registers or memory, so it is evaluated before.
        words = self.prepare(words)
        machine = Machine()
        with machine.reading():
            lines = self.look(Model(machine), words)
        for line in lines:
            print(line)

    def prepare(self, words):
        """Takes the words of the command apart."""
        return self.want(words, 0)

    def look(self, model, words):
        """The lines that answer."""
        raise NotImplementedError


def number(text):
    """An address or a value: a number, or an expression of gdb's."""
    try:
        return int(text, 0) & (1 << 64) - 1
    except ValueError:
        value = gdb.parse_and_eval(text)
    kind = value.type.strip_typedefs().code
    if kind not in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_CHAR):
        fail("%s is a %s: wanted a number or an address" % (text, value.type))
    return int(value) & (1 << 64) - 1


def code(text):
    """An address of code: as `number` takes it, or a function, behind its prologue."""
    try:
        return number(text)
    except (gdb.error, gdb.GdbError):
        # Of a guest's functions an expression knows only while gdb stands in that guest.
        places = {place.pc for place in gdb.decode_line(text)[1] or ()}
    if len(places) != 1:
        fail("%s is at %d places: wanted an address or one function" % (text, len(places)))
    return places.pop()


def symbol(address, back=0):
    """`function+12`, or nothing where gdb has no symbol. Of a return address `back` is 4: the call
    may be the function's last instruction."""
    said = gdb.execute("info symbol %#x" % (address - back), to_string=True).strip()
    if said.startswith("No symbol"):
        return ""
    # Without what makes Rust's names unique.
    name, _, offset = said.split(" in section")[0].partition(" + ")
    offset = int(offset or 0) + back
    return re.sub(r"::h[0-9a-f]{16}\b", "", name) + ("+%d" % offset if offset else "")


def table(rows):
    """Lines of columns as wide as they have to be."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            for row in rows]


def step_lines(regime, steps, mair=None, indent=""):
    """A line for each descriptor of a walk. Where a table's address is not where memory has it,
    both."""
    for step in steps:
        where = "%#x" % step.address
        if step.physical is not None and step.physical != step.address:
            where += " (PA %#x)" % step.physical
        if step.descriptor is None:
            yield "%slevel %d  %s: no memory there" % (indent, step.level, where)
        else:
            yield "%slevel %d  %s: %#018x  %s" % (
                indent, step.level, where, step.descriptor,
                walk.describe(regime, step.level, step.descriptor, mair))
