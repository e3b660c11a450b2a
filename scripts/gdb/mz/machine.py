"""The machine as QEMU's gdb stub shows it: a thread for each pCPU, and physical memory.

EL2's structures, its stage-2 tables and guests' memory lie in three address spaces, of which the
stub shows the one that the selected pCPU is in: at EL1 not even EL2's. So a command takes all
registers first, and then reads *everything* by its physical address, which the stub offers by a
switch of its own, `Qqemu.PhyMemMode`. What is at a virtual address of EL2 is found by a walk of
TTBR0_EL2. Nothing is written, and no pCPU's state is changed.
"""

import contextlib

import gdb

from . import walk

# What is taken of each pCPU. QEMU names a few of them otherwise, before version 9.
GENERAL = ["x%d" % n for n in range(31)] + ["sp", "pc", "cpsr"]
SYSTEM = """
    SCTLR_EL1 TTBR0_EL1 TTBR1_EL1 TCR_EL1 MAIR_EL1 ESR_EL1 FAR_EL1 VBAR_EL1 ELR_EL1 SPSR_EL1 SP_EL0
    SP_EL1 CNTFRQ_EL0 CNTV_CTL_EL0 CNTV_CVAL_EL0 VBAR_EL2
    ESR_EL2 FAR_EL2 HPFAR_EL2 ELR_EL2 SPSR_EL2 HCR_EL2 VTTBR_EL2 VTCR_EL2 SCTLR_EL2 TTBR0_EL2
    TCR_EL2 TPIDR_EL2
""".split()
OTHER_NAMES = {"SCTLR_EL1": "SCTLR", "VBAR_EL1": "VBAR"}


def fail(text):
    """An error that gdb prints as one line, without a traceback."""
    raise gdb.GdbError(text)


class Pcpu:
    """A pCPU's registers, as they were when the command began."""

    def __init__(self, thread, registers):
        self.thread = thread
        self.registers = registers

    def __getitem__(self, name):
        if name not in self.registers:
            fail("thread %d has no register %s: wanted QEMU's gdb stub" % (self.thread.num, name))
        return self.registers[name]

    def get(self, name):
        """Its value, or 0 where the stub has no such register."""
        return self.registers.get(name, 0)

    @property
    def el(self):
        """The exception level: PSTATE.M. AArch32 is EL0's here."""
        state = self["cpsr"]
        return 0 if state & 0x10 else state >> 2 & 3

    @property
    def vmid(self):
        """VTTBR_EL2.VMID."""
        return self.get("VTTBR_EL2") >> 48

    @property
    def translates(self):
        """Whether EL2's translation is on: SCTLR_EL2.M."""
        return self.get("SCTLR_EL2") & 1 != 0


def register(frame, name):
    """A register as an unsigned number; None if there is none of this name."""
    for spelled in (name, OTHER_NAMES.get(name)):
        if spelled:
            try:
                return int(frame.read_register(spelled)) & (1 << 64) - 1
            except ValueError:
                continue
    return None


def take(thread):
    """The registers of a pCPU, the selected one."""
    frame = gdb.newest_frame()
    registers = {name: register(frame, name) for name in GENERAL + SYSTEM}
    registers = {name: value for name, value in registers.items() if value is not None}
    # Where SP_ELx is the stack pointer in use, the stub keeps its value in `sp`.
    state = registers.get("cpsr", 0)
    if state & 0x1c == 0x04:
        used = "SP_EL1" if state & 1 else "SP_EL0"
        registers[used] = registers["sp"]
    elif state & 0x1f == 0:
        registers["SP_EL0"] = registers["sp"]
    return Pcpu(thread, registers)


class Machine:
    """All pCPUs, and physical memory while `reading`."""

    def __init__(self, alone=False):
        """`alone`: of the selected pCPU only, and no thread is switched. So a breakpoint's
        condition may ask, too."""
        self.selected = gdb.selected_thread()
        if self.selected is None or not self.selected.is_valid():
            fail("no machine: wanted `target remote`, as `make gdb` does it")
        if alone:
            self.pcpus = [take(self.selected)]
            return
        try:
            threads = sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num)
            self.pcpus = []
            for thread in threads:
                thread.switch()
                self.pcpus.append(take(thread))
        finally:
            # At its innermost frame: to find another, gdb would read the stack by physical addresses
            # later. `base.Command` goes back to the one that was selected.
            self.selected.switch()

    @property
    def here(self):
        """The pCPU that is selected in gdb."""
        return next(one for one in self.pcpus if one.thread.num == self.selected.num)

    def el2(self):
        """The translation of EL2, by a pCPU on which it is on: all have the same tables."""
        for pcpu in self.pcpus:
            if pcpu.translates:
                return walk.el2_regime(pcpu["TTBR0_EL2"], pcpu["TCR_EL2"])
        return fail("EL2's translation is off on all pCPUs: wanted a machine that has booted "
                    "(`continue` goes to the first exit of a guest)")

    def physical(self, va):
        """Where an address of EL2's lies in physical memory."""
        result = walk.walk(self.read64, self.el2(), va)
        if result.output is None:
            fail("EL2 has nothing at %#x: wanted the ELF of the image that runs" % va)
        return result.output

    def read(self, pa, size):
        """Bytes of physical memory."""
        return bytes(gdb.selected_inferior().read_memory(pa, size))

    def read64(self, pa):
        """A doubleword of physical memory; None where there is none."""
        try:
            return int.from_bytes(self.read(pa, 8), "little")
        except gdb.MemoryError:
            return None

    @contextlib.contextmanager
    def reading(self):
        """All of gdb's addresses are physical ones meanwhile."""
        packet("Qqemu.PhyMemMode:1")
        try:
            # What gdb keeps of memory was read by virtual addresses.
            gdb.execute("maintenance flush dcache", to_string=True)
            yield self
        finally:
            packet("Qqemu.PhyMemMode:0")
            gdb.execute("maintenance flush dcache", to_string=True)


def packet(text):
    """Sends a packet to the stub, which has to answer OK."""
    connection = getattr(gdb.selected_inferior(), "connection", None)
    if hasattr(connection, "send_packet"):
        answer = connection.send_packet(text)
        answer = answer.decode("ascii", "replace") if answer else ""
    elif connection is not None and not hasattr(gdb, "RemoteTargetConnection"):
        # gdb 10 and 11.
        said = gdb.execute("maintenance packet " + text, to_string=True)
        answer = "OK" if 'received: "OK"' in said else said.strip().splitlines()[-1]
    else:
        return fail("no remote target: wanted QEMU's gdb stub")
    if answer != "OK":
        fail("the stub answers %r to %s: wanted QEMU 4.1 or later" % (answer, text))
    return None
