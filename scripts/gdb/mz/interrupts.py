"""mz-lr."""

from . import rust
from .base import MachineCommand
from .machine import fail

# ICH_HCR_EL2's bits that the model sets (IHI 0069, chapter 12).
HCR = (("En", 0), ("LRENPIE", 2), ("NPIE", 3), ("VGrp0EIE", 4), ("VGrp0DIE", 5), ("VGrp1EIE", 6),
       ("VGrp1DIE", 7), ("TDIR", 14))
# What the board has there (src/device/mod.rs).
KNOWN = {27: "virtual timer", 30: "physical timer", 33: "UART"}
# Bits of Cpu::attention.
RESYNC, LOWERED = 31, 63


def timer(control, compare):
    """The virtual timer, by CNTV_CTL_EL0: ENABLE, IMASK, ISTATUS."""
    if control & 1 == 0:
        return "virtual timer: off"
    return "virtual timer: on%s, %s; CNTV_CVAL_EL0 %d" % (
        ", masked" if control & 2 else "", "due" if control & 4 else "not due yet", compare)


class Bank:
    """32 interrupts of the vGIC's model: src/device/vgic/bank.rs."""

    def __init__(self, value, first):
        self.value, self.first = value, first

    def word(self, name):
        """A word with a bit for each."""
        return rust.number(self.value, name)

    def of(self, name, index):
        """A number for each."""
        return int(rust.field(self.value, name)[index])

    def pending(self):
        """Bank::pending: latched, or level-triggered with the line high."""
        return self.word("latch") | self.word("level") & ~self.word("edge")

    def target(self, index, any_vcpu):
        """Bank::target: the vCPU that it goes to."""
        return any_vcpu if self.word("any") >> index & 1 else self.of("routed", index)

    def say(self, index):
        """An interrupt in words."""
        intid = self.first + index
        kind = "SGI" if intid < 16 else "PPI" if intid < 32 else "SPI"
        bit = lambda name: self.word(name) >> index & 1
        words = ["INTID %d" % intid, KNOWN.get(intid, kind),
                 "priority 0x%02x" % self.of("priority", index), "Group %d" % bit("group"),
                 "edge" if bit("edge") else "level",
                 "enabled" if bit("enabled") else "disabled"]
        if bit("enabled") and not bit("allowed"):
            words.append("its group is off in GICD_CTLR")
        if not bit("edge"):
            words.append("line high" if bit("level") else "line low")
        elif bit("latch"):
            words.append("latched")
        return ", ".join(words)


class ListRegisters(MachineCommand):
    """The vGIC of a VM: what is in list registers, pending and active, by its model in memory.

    mz-lr [VM.N]          without VM.N of all vCPUs

ICH_LR<n>_EL2 and the other registers of the virtual CPU interface can't be read through QEMU's gdb
stub (measured with 7.2). So these are the books of the model (src/device/vgic): what it has written
into which list register. What the guest has acknowledged or ended there since, the model learns
when it folds the list registers, and this command with it. Of a vCPU that isn't loaded the model
has all."""

    name = "mz-lr"
    usage = "[VM.N]"

    def prepare(self, words):
        return self.want(words, 0, 1)

    def look(self, model, words):
        vcpus = [model.vcpu(words[0])] if words else [one for vm in model.vms for one in vm.vcpus]
        if not vcpus:
            fail("no VM has been made yet: wanted a machine that has booted")
        lines = ["the model's books: what hardware has in ICH_LR<n>_EL2 isn't visible through "
                 "QEMU's stub"]
        for vcpu in vcpus:
            lines += self.one(vcpu)
        return lines

    def one(self, vcpu):
        """A vCPU's part."""
        machine = vcpu.machine
        vgic = rust.field(vcpu.vm.value, "vgic")
        cpus = [value for _, value in rust.vec(machine, rust.field(vgic, "cpus"))]
        banks = [value for _, value in rust.vec(machine, rust.field(vgic, "banks"))]
        cpu = cpus[vcpu.index]
        number = lambda name: rust.number(cpu, name)
        where = "loaded on pCPU %d" % vcpu.pcpu_id if vcpu.pcpu is not None else "not loaded"
        hcr, attention = number("hcr"), number("attention")
        flags = " ".join(name for name, bit in HCR if hcr >> bit & 1) or "off"
        used = ", ".join(str(n) for n in range(16) if number("used") >> n & 1) or "none"
        lines = ["vCPU %s of %s, %s: list registers in use: %s; "
                 "ICH_HCR_EL2 as last written %#x (%s)" % (vcpu.name, vcpu.vm.name, where, used,
                                                           hcr, flags)]
        notes = []
        if attention & 0x7fffffff:
            notes.append("banks to look at before the next entry: %#x" % (attention & 0x7fffffff))
        if attention >> 32 & 0x7fffffff:
            notes.append("banks with interrupts that found no list register: %#x"
                         % (attention >> 32 & 0x7fffffff))
        notes += [text for bit, text in ((RESYNC, "list registers are out of date"),
                                         (LOWERED, "a line in a list register went low"))
                  if attention >> bit & 1]
        if number("awaited_by"):
            notes.append("vCPUs that wait until it folds them: %#x" % number("awaited_by"))
        if not rust.number(cpu, "awake"):
            notes.append("GICR_WAKER.ProcessorSleep is 1")
        lines += ["  " + note for note in notes]
        any_vcpu = rust.number(vgic, "any")
        own = [Bank(banks[vcpu.index], 0)]
        shared = [Bank(value, 32 * (n + 1)) for n, value in enumerate(banks[len(cpus):])]
        listed = []
        for bank in own + shared:
            listed += self.bank(bank, vcpu.index, any_vcpu)
        lines += listed or ["  nothing in list registers, nothing pending, nothing active"]
        enabled = [str(bank.first + index) for bank in own + shared for index in range(32)
                   if bank.word("enabled") >> index & 1
                   and bank.target(index, any_vcpu) == vcpu.index]
        lines.append("  enabled for it: INTID " + ", ".join(enabled) if enabled
                     else "  no interrupt is enabled for it")
        return lines + ["  " + timer(*vcpu.timer())]

    def bank(self, bank, vcpu, any_vcpu):
        """Lines for what is on its way in a bank and this vCPU's: held by it, or to go to it."""
        in_lr, pending, active = bank.word("in_lr"), bank.pending(), bank.word("active")
        for index in range(32):
            if not (in_lr | pending | active) >> index & 1:
                continue
            held = (in_lr | active) >> index & 1
            if (bank.of("holder", index) if held else bank.target(index, any_vcpu)) != vcpu:
                continue
            if in_lr >> index & 1:
                state = "active" if bank.word("was_active") >> index & 1 else "pending"
                where = "LR%d, written as %s" % (bank.of("slot", index), state)
                if active >> index & 1:
                    where += ", made active by a register since"
            elif active >> index & 1:
                where = "active, in no list register"
            else:
                where = "pending" if bank.word("allowed") >> index & 1 else "pending, not enabled"
            yield "  %s: %s" % (where, bank.say(index))
