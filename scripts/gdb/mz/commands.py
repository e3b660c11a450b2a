"""Registers all commands with gdb."""

import gdb

from . import stops, tables, trace, vms, interrupts

ALL = (vms.Vms, vms.Vcpus, vms.Exits, vms.Regs, trace.Syndrome, tables.Stage1Command,
       tables.Stage2, interrupts.ListRegisters, stops.BreakGuest, stops.BreakExit,
       trace.Backtrace)


class Mezzanine(gdb.Command):
    """Commands that understand Mezzanine's VMs; `help mz-vms` and so on have more."""

    def __init__(self):
        super().__init__("mz", gdb.COMMAND_STATUS)

    def invoke(self, _argument, _from_tty):
        self.dont_repeat()
        for command in ALL:
            first = command.__doc__.splitlines()[0]
            print("%-22s %s" % (("%s %s" % (command.name, command.usage)).strip(), first))


Mezzanine()
for _command in ALL:
    _command()
