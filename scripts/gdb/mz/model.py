"""VMs and vCPUs, as the hypervisor's own statics have them. Inside `Machine.reading` only."""

from . import rust, walk
from .machine import fail

VMS = "mezzanine::vm::instance::VMS"
QUEUE = "mezzanine::vm::schedule::QUEUE"
BLOCKS = "mezzanine::el2::percpu::BLOCKS"

# Fields of el2::state::El1; the registers are <FIELD>_EL1.
EL1 = ("sctlr ttbr0 ttbr1 tcr mair esr far vbar elr spsr".split())


class Vcpu:
    """A vCPU: its numbers, and where its registers are now."""

    def __init__(self, machine, vm, address, value):
        self.machine, self.vm, self.address, self.value = machine, vm, address, value
        self.index = rust.number(value, "index")
        self.entity = rust.number(value, "entity")
        self.name = "%d.%d" % (vm.id, self.index)
        self.pcpu_id, self.pcpu = vm.model.loaded.get(address, (None, None))

    @property
    def in_guest(self):
        """Whether it is loaded on a pCPU that is at EL1 or EL0 now."""
        return self.pcpu is not None and self.pcpu.el < 2

    @property
    def in_vector(self):
        """Whether its pCPU has just come to EL2, and has not stored anything yet: at the first
        instruction of one of the eight entries for exceptions from below."""
        if self.pcpu is None or self.pcpu.el != 2:
            return False
        offset = self.pcpu["pc"] - self.vm.model.vectors
        return 0x400 <= offset < 0x800 and offset % 0x80 == 0

    def general(self):
        """x0 to x30, PC and PSTATE; and in words where they were found."""
        if self.in_guest:
            registers = [self.pcpu["x%d" % n] for n in range(31)]
            return (registers, self.pcpu["pc"], self.pcpu["cpsr"],
                    "the registers of pCPU %d (thread %d), which is in the guest"
                    % (self.pcpu_id, self.pcpu.thread.num))
        if self.in_vector:
            registers = [self.pcpu["x%d" % n] for n in range(31)]
            return (registers, self.pcpu["ELR_EL2"], self.pcpu["SPSR_EL2"],
                    "the registers of pCPU %d (thread %d), at the first instruction of EL2's "
                    "vector; PC and PSTATE are ELR_EL2 and SPSR_EL2" % (self.pcpu_id, self.pcpu.thread.num))
        frame = rust.field(self.value, "state", "frame")
        registers = [int(frame["x"][n]) & (1 << 64) - 1 for n in range(31)]
        where = "its frame in memory (vm::Frame)"
        if self.pcpu is not None:
            where += "; pCPU %d (thread %d) is at EL2" % (self.pcpu_id, self.pcpu.thread.num)
            if self.vm.model.vectors <= self.pcpu["pc"] < self.vm.model.vectors + 0x800:
                where += ", in the middle of a vector: wait for the next function"
        return registers, rust.number(frame, "pc"), rust.number(frame, "pstate"), where

    @property
    def pc(self):
        """Where it is, or goes on."""
        return self.general()[1]

    def system(self):
        """EL1's registers by their names; and in words where they were found."""
        names = ["%s_EL1" % name.upper() for name in EL1] + ["SP_EL0", "SP_EL1"]
        if self.pcpu is not None:
            return ({name: self.pcpu.get(name) for name in names},
                    "pCPU %d (thread %d), on which it is loaded"
                    % (self.pcpu_id, self.pcpu.thread.num))
        saved = rust.field(self.value, "state", "context", "el1")
        fields = EL1 + ["sp_el0", "sp_el1"]
        return ({name: rust.number(saved, one) for name, one in zip(names, fields)},
                "its context in memory (el2::state::El1), as it is not loaded")

    def timer(self):
        """CNTV_CTL_EL0 and CNTV_CVAL_EL0."""
        if self.pcpu is not None:
            return self.pcpu.get("CNTV_CTL_EL0"), self.pcpu.get("CNTV_CVAL_EL0")
        saved = rust.field(self.value, "state", "context", "interrupts")
        return rust.number(saved, "cntv_ctl"), rust.number(saved, "cntv_cval")

    def exits(self):
        """How often it came back from its guest, by kind."""
        counts = rust.field(self.value, "state", "exits")
        return {kind: rust.number(counts, kind) for kind in rust.names(counts)}

    def run_state(self):
        """The run queue's entity: its state in words, and the accounts."""
        queue = self.vm.model.queue
        if queue is None:
            fail("no run queue yet: wanted a machine that has booted")
        entity = queue[self.entity]
        state = rust.enum(rust.field(entity, "state"))
        if self.pcpu_id is not None and self.vm.model.idle >> self.pcpu_id & 1:
            state += ", at rest in WFI"
        account = rust.field(entity, "account")
        return (state, rust.number(entity, "last"), rust.number(account, "run"),
                rust.number(account, "wait"), rust.number(account, "moves"))


class Vm:
    """A VM."""

    def __init__(self, model, value):
        self.model, self.value = model, value
        self.id = rust.number(value, "id")
        self.name = rust.string(model.machine, rust.field(value, "name"))
        self.vttbr = rust.number(value, "vttbr")
        self.vcpus = [Vcpu(model.machine, self, address, one)
                      for address, one in rust.vec(model.machine, value["vcpus"])]

    @property
    def vmid(self):
        """VTTBR_EL2.VMID."""
        return self.vttbr >> 48

    @property
    def life(self):
        """Where it is in its life: vm::life::Life."""
        return rust.enum(rust.field(self.value, "life"))

    @property
    def memory(self):
        """Its memory, as (IPA, bytes); RAM first."""
        pieces = rust.vec(self.model.machine, rust.field(self.value, "calls", "memory"))
        return [(rust.number(one["__0"]), rust.number(one["__1"])) for _, one in pieces]

    @property
    def regime(self):
        """Its stage 2: the tables are its own, VTCR_EL2 is every pCPU's."""
        for pcpu in self.model.machine.pcpus:
            if pcpu.get("VTCR_EL2"):
                return walk.stage2_regime(self.vttbr, pcpu["VTCR_EL2"])
        return fail("VTCR_EL2 is 0 on all pCPUs: wanted a machine that has booted")

    def translate(self, ipa):
        """The walk of stage 2 for an IPA."""
        return walk.walk(self.model.machine.read64, self.regime, ipa)

    def read64(self, ipa):
        """A doubleword of its memory; None where it has none."""
        found = self.translate(ipa).output
        return None if found is None else self.model.machine.read64(found)


class Model:
    """What the hypervisor knows: made anew for each command."""

    def __init__(self, machine):
        self.machine = machine
        machine.el2()
        self.vectors = next(one["VBAR_EL2"] for one in machine.pcpus if one.translates) \
            if all("VBAR_EL2" in one.registers for one in machine.pcpus) else 0
        self.blocks = rust.static(machine, BLOCKS)
        self.loaded = self._loaded()
        self.queue, self.idle = self._queue()
        self.vms = self._vms()

    def _loaded(self):
        """Which vCPU (by its address) is loaded where: (number of the pCPU, its registers).

        A pCPU is found by its block, to which TPIDR_EL2 points."""
        found = {}
        physical = int(self.blocks.address)
        size = self.blocks.type.strip_typedefs().target().sizeof
        for pcpu in self.machine.pcpus:
            if not pcpu.translates or pcpu.get("TPIDR_EL2") == 0:
                continue
            at = self.machine.physical(pcpu["TPIDR_EL2"]) - physical
            if at % size or not 0 <= at < self.blocks.type.sizeof:
                continue
            block = self.blocks[at // size]
            current = rust.number(block, "current")
            if current:
                found[current] = (rust.number(block, "id"), pcpu)
        return found

    def _queue(self):
        """The run queue's entities, and the mask of pCPUs with nothing to run."""
        queue = rust.once(rust.static(self.machine, QUEUE))
        if queue is None:
            return None, 0
        slots = rust.vec(self.machine, rust.field(queue, "entities", "slots"))
        return [value for _, value in slots], rust.number(queue, "idle")

    def _vms(self):
        found = []
        slots = rust.static(self.machine, VMS)
        for index in range(slots.type.strip_typedefs().range()[1] + 1):
            one = rust.once(slots[index])
            if one is None:
                break
            vm = Vm(self, rust.follow(self.machine, one))
            if vm.id != index:
                fail("VM %d says that it is VM %d: wanted the ELF of the image that runs"
                     % (index, vm.id))
            found.append(vm)
        return found

    def vm(self, text):
        """A VM by its number or its name."""
        for vm in self.vms:
            if text in (str(vm.id), vm.name):
                return vm
        known = ", ".join("%d %s" % (vm.id, vm.name) for vm in self.vms) or "none yet"
        return fail("no VM %s: wanted a number or a name (%s)" % (text, known))

    def vcpu(self, text):
        """A vCPU as VM.N."""
        name, dot, index = text.rpartition(".")
        if not dot or not index.isdigit():
            fail("%s: wanted VM.N, as 0.1 or alpha.1" % text)
        vm = self.vm(name)
        if int(index) >= len(vm.vcpus):
            fail("VM %d %s has no vCPU %s: wanted one below %d"
                 % (vm.id, vm.name, index, len(vm.vcpus)))
        return vm.vcpus[int(index)]

    def loaded_on(self, pcpu):
        """The vCPU that is loaded on a pCPU, or None."""
        for vm in self.vms:
            for vcpu in vm.vcpus:
                if vcpu.pcpu is pcpu:
                    return vcpu
        return None
