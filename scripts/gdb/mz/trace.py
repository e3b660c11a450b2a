"""mz-esr, mz-bt."""

import gdb

from . import registers, syndrome
from .base import Command, MachineCommand, number, symbol
from .machine import Machine
from .tables import Stage1

# Frames of a guest that are shown.
DEPTH = 32


class Syndrome(Command):
    """An exception syndrome in words.

    mz-esr                ESR_EL2 of the selected pCPU; ESR_EL1 if that is in a guest
    mz-esr VALUE          any other, as mz-esr 0x93850045

The first line is the one that Mezzanine would print, with the address by FAR_ELx and HPFAR_EL2 where
there is one; the second has the fields by the Arm ARM's names. docs/exceptions.md, section 4, takes
such values apart bit by bit. An interrupt leaves ESR_ELx as it was: it is then an older one."""

    name = "mz-esr"
    usage = "[VALUE]"

    def run(self, words):
        words = self.want(words, 0, 1)
        if words:
            esr = number(words[0])
            line = syndrome.line(esr)
        else:
            pcpu = Machine(alone=True).here
            own = 2 if pcpu.el >= 2 else 1
            esr = pcpu["ESR_EL%d" % own]
            far = pcpu["FAR_EL%d" % own]
            print("ESR_EL%d of thread %d, which is at EL%d: %#x"
                  % (own, pcpu.thread.num, pcpu.el, esr))
            line = syndrome.line(esr, far, pcpu["HPFAR_EL2"] if own == 2 else None)
        print(line)
        print(syndrome.fields(esr))


def place(address, back=0):
    """An address with symbol, file and line; `back` as `symbol` has it."""
    text = symbol(address, back)
    line = gdb.find_pc_line(address - back)
    if text and line.symtab is not None:
        text += " at %s:%d" % (line.symtab.filename, line.line)
    return "%#018x %s" % (address, text)


def name(address, back):
    """The function's name alone."""
    return symbol(address, back).partition("+")[0]


def guest_frames(vcpu):
    """The guest's own frames, by x29: each frame record is the caller's x29 and a return address
    (AAPCS64). Memory is read as the guest's EL1 would read it: through stage 1 and stage 2."""
    x, pc, state, _ = vcpu.general()
    yield "#0  " + place(pc)
    if state & 0x10:
        yield "(AArch32: no frame records)"
        return
    stage1 = Stage1(vcpu)
    frame, seen = x[29], set()
    for depth in range(1, DEPTH + 1):
        if frame == 0:
            return
        if frame & 7 or frame in seen:
            yield "(x29 %#x is no frame record)" % frame
            return
        seen.add(frame)
        link, back = stage1.read64(frame + 8), stage1.read64(frame)
        if link is None or back is None:
            yield "(x29 %#x: nothing is mapped there)" % frame
            return
        # One that points into the function itself is of a call that has returned.
        if depth == 1 and x[30] not in (0, link) and name(x[30], 4) != name(pc, 0):
            yield "    (x30 %s: its caller, if it has no frame record, or none yet)" % place(
                x[30], 4)
        if link == 0:
            return
        link = stage1.plain(link)
        yield "#%-2d %s" % (depth, place(link, 4))
        frame = back
    yield "(more frames follow)"


class Backtrace(MachineCommand):
    """A backtrace across the ERET: EL2's frames, then those of the guest below it.

    mz-bt                 of the selected pCPU
    mz-bt VM.N            of a vCPU, loaded or not: its own frames alone

EL2's are gdb's own (`bt`). The guest's follow x29, frame record by frame record, through its stage 1
and stage 2; code that keeps no frame pointers ends it early. Names are shown where gdb has symbols:
scripts/gdbinit loads those of BenOS, `add-symbol-file vmlinux` adds Linux's."""

    name = "mz-bt"
    usage = "[VM.N]"

    def prepare(self, words):
        words = self.want(words, 0, 1)
        if words:
            return words, []
        # By virtual addresses, so before all are physical.
        if Machine(alone=True).here.el < 2:
            return words, []
        return words, gdb.execute("backtrace 24", to_string=True).splitlines()

    def look(self, model, words):
        words, above = words
        vcpu = model.vcpu(words[0]) if words else model.loaded_on(model.machine.here)
        if vcpu is None:
            return above + ["---- no vCPU is loaded on this pCPU"]
        state = registers.level(vcpu.general()[2])
        if above:
            above.append("---- ERET: below is vCPU %s of %s, at %s"
                         % (vcpu.name, vcpu.vm.name, state))
        else:
            above = ["vCPU %s of %s, at %s" % (vcpu.name, vcpu.vm.name, state)]
        return above + list(guest_frames(vcpu))
