"""mz-break-guest, mz-break-exit."""

import gdb

from . import rust, syndrome
from .base import Command, code
from .machine import Machine, fail, register
from .model import Model

HANDLE = "mezzanine::exit::handle::handle"


def who(machine):
    """The vCPU that is loaded on the pCPU that has stopped, in words."""
    with machine.reading():
        vcpu = Model(machine).loaded_on(machine.here)
        return "no vCPU" if vcpu is None else "vCPU %s of %s" % (vcpu.name, vcpu.vm.name)


class GuestBreakpoint(gdb.Breakpoint):
    """At an address of a guest's, for one VM."""

    def __init__(self, vm, vmid, address):
        super().__init__("*%#x" % address, gdb.BP_HARDWARE_BREAKPOINT)
        self.vm, self.vmid = vm, vmid

    def stop(self):
        """Whether the pCPU that came here runs that VM: asked of VTTBR_EL2.VMID."""
        machine = Machine(alone=True)
        pcpu = machine.here
        if pcpu.el > 1:
            return False
        if self.vmid is None:
            # Set before there were VMs. While they are being made, another may run already.
            try:
                with machine.reading():
                    self.vmid = Model(machine).vm(self.vm).vmid
            except gdb.GdbError:
                return False
        if pcpu.vmid != self.vmid:
            return False
        print("mz-break-guest: VM %s (VMID %d), %s, at %#x"
              % (self.vm, pcpu.vmid, who(machine), pcpu["pc"]))
        return True


class BreakGuest(Command):
    """A breakpoint at an address of a guest's that stops in that VM only.

    mz-break-guest VM ADDR    as mz-break-guest alpha 0x40200000, or mz-break-guest 0 guest_main

A hardware breakpoint (nothing is written into the guest), by virtual address, as the guest's PC has
it. Who comes there is asked for VTTBR_EL2.VMID: in another VM, and at EL2, it goes on. It may be
set before the VMs are made; VM has to be its number or name all the same. `delete` removes it."""

    name = "mz-break-guest"
    usage = "VM ADDR"

    def run(self, words):
        words = self.want(words, 2)
        name, address = words[0], code(words[1])
        machine = Machine()
        vmid = None
        if any(pcpu.translates for pcpu in machine.pcpus):
            with machine.reading():
                model = Model(machine)
                # By its name it is not known before it is made.
                vmid = model.vm(name).vmid if model.vms else None
        GuestBreakpoint(name, vmid, address)
        if vmid is None:
            print("VM %s isn't made yet: looked up at the first hit" % name)


class ExitBreakpoint(gdb.Breakpoint):
    """Where an exit is handled, for one exception class."""

    def __init__(self, ec, when):
        super().__init__(HANDLE)
        self.ec, self.when = ec, when

    def stop(self):
        """Whether it is a synchronous exit, so that ESR_EL2 is of now, and of this class."""
        frame = gdb.newest_frame()
        esr = register(frame, "ESR_EL2")
        if syndrome.ec(esr) != self.ec:
            return False
        try:
            if rust.enum(frame.read_var("exit")) != "Synchronous":
                return False
        except (ValueError, gdb.error):
            # No such variable where gdb stands: the class alone decides.
            pass
        # gdb itself takes no `condition` beside this function.
        if self.when and not int(gdb.parse_and_eval(self.when)):
            return False
        machine = Machine(alone=True)
        line = syndrome.line(esr, machine.here["FAR_EL2"], machine.here["HPFAR_EL2"])
        print("mz-break-exit: %s, %s" % (who(machine), line))
        return True


class BreakExit(Command):
    """A breakpoint where EL2 handles an exit, for one exception class.

    mz-break-exit EC [CONDITION]
    mz-break-exit HVC64
    mz-break-exit 0x24 $FAR_EL2 == 0xb000000

Stops in exit::handle when the exit is synchronous and ESR_EL2.EC is that class. Names are those of
src/exit/esr/class.rs. gdb looks at each exit of each guest, so they run slowly meanwhile. The first
breakpoint of `make gdb` stops at every exit: `delete 1` before."""

    name = "mz-break-exit"
    usage = "EC [CONDITION]"

    def run(self, words):
        words = self.want(words, 1, 2)
        ec = syndrome.class_number(words[0])
        if ec is None:
            names = ", ".join(name for name, _ in syndrome.CLASSES.values())
            fail("no exception class %s: wanted 0 to 63 or one of %s" % (words[0], names))
        when = words[1] if len(words) > 1 else ""
        if when:
            # Said now, not at each exit.
            gdb.parse_and_eval(when)
        ExitBreakpoint(ec, when)
        print("stops at EC 0x%02x %s%s" % (ec, syndrome.class_name(ec), when and ", if " + when))
        for other in gdb.breakpoints():
            plain = not isinstance(other, ExitBreakpoint) and not other.condition
            if plain and other.enabled and other.location == HANDLE:
                print("breakpoint %d stops at every exit: `delete %d`"
                      % (other.number, other.number))
