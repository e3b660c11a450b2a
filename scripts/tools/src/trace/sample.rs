//! Traces that are made up, for tests of what reads traces: the writer's side of the format.

use super::file::{HEADER, RECORD, RING};
use mezzanine::trace::format::{
    Event, Kind, Left, MAGIC, NAME, NO_VCPU, NO_VM, Record, Stage, VERSION,
};

/// Ticks a second, as on QEMU's virt board: 16 ns each.
pub const FREQUENCY: u64 = 62_500_000;
/// ESR_EL2 of an HVC #0.
pub const HVC: u32 = 0x5a00_0000;
/// ESR_EL2 of a WFI.
pub const WFI: u32 = 0x07e0_0000;
/// ESR_EL2 of a store of four bytes from w1, which stage 2 does not translate.
pub const STORE: u32 = 0x9381_0047;

/// Rings that are written as the hypervisor writes them.
#[derive(Clone, Debug)]
pub struct Sample {
    names: Vec<String>,
    capacity: u32,
    since: u64,
    rings: Vec<Vec<Record>>,
}

impl Sample {
    /// Empty rings.
    pub fn new(pcpus: usize, vms: &[&str], capacity: u32) -> Self {
        let names = vms.iter().map(|&name| name.into()).collect();
        Self { names, capacity, since: 0, rings: vec![Vec::new(); pcpus] }
    }

    /// The time at which the trace began.
    pub fn since(mut self, since: u64) -> Self {
        self.since = since;
        self
    }

    /// An event of no VM.
    pub fn at(&mut self, pcpu: usize, time: u64, event: Event) -> &mut Self {
        self.add(pcpu, time, event, (NO_VM, NO_VCPU), [0, 0, 0])
    }

    /// An event of a vCPU; `words` are its detail, `a` and `b`.
    pub fn add(
        &mut self,
        pcpu: usize,
        time: u64,
        event: Event,
        (vm, vcpu): (u16, u8),
        [detail, a, b]: [u64; 3],
    ) -> &mut Self {
        let detail = detail as u32;
        self.rings[pcpu].push(Record { time, event: event as u8, vcpu, vm, detail, a, b });
        self
    }

    /// A whole exit of a vCPU: it leaves the guest at `time` and is handled four fifths of `ticks`
    /// later. It goes on after `ticks`, unless it `leaves`: then it is put back. One for a device is
    /// news for the VM's other vCPU, and the other pCPU is kicked.
    pub fn exit(
        &mut self,
        pcpu: usize,
        time: u64,
        ticks: u64,
        vcpu: (u16, u8),
        (kind, leaves): (Kind, bool),
    ) -> &mut Self {
        const PC: u64 = 0x4008_0000;
        let handled = time + ticks * 4 / 5;
        let end = time + ticks;
        match kind {
            Kind::Interrupt => {
                self.add(pcpu, time, Event::ExitIrq, vcpu, [27, PC, 5]);
                self.add(pcpu, time + 1, Event::Timer, (NO_VM, NO_VCPU), [27, 0, 0]);
                self.at(pcpu, time + 1, Event::Kicked);
                self.add(pcpu, time + 2, Event::ListWrite, vcpu, [0, 0x5000_0000_0000_001b, 0]);
            }
            Kind::Wait => {
                self.add(pcpu, time, Event::ExitSync, vcpu, [WFI.into(), PC + 0x40, 0]);
            }
            Kind::Device => {
                let page = 0x9_0000;
                let other = (pcpu + 1) % self.rings.len();
                let peer = (vcpu.0, vcpu.1 ^ 1);
                self.add(pcpu, time, Event::ExitSync, vcpu, [STORE.into(), 0x900_0018, page]);
                self.add(pcpu, time + 2, Event::Wake, peer, [0; 3]);
                self.add(pcpu, time + 3, Event::Kick, (NO_VM, NO_VCPU), [other as u64, 0, 0]);
            }
            _ => {
                let call = [HVC.into(), PC + 0x80, 0x8400_0000];
                self.add(pcpu, time, Event::ExitSync, vcpu, call);
                self.add(pcpu, time + 1, Event::Call, vcpu, [0x8400_0000, 0, 0]);
            }
        }
        let kind = kind as u32;
        self.add(pcpu, handled, Event::Handled, vcpu, [kind.into(), PC + 4, leaves.into()]);
        if leaves {
            let why = if kind == Kind::Wait as u32 { Left::Block } else { Left::Preempted };
            self.add(pcpu, end, Event::SchedOut, vcpu, [why as u64, u64::MAX, 0])
        } else {
            self.add(pcpu, end, Event::Enter, vcpu, [0, PC + 4, if kind == 1 { 0 } else { 5 }])
        }
    }

    /// A machine with two pCPUs and three VMs that has done `exits` exits, all of its records kept:
    /// the vCPUs take turns, wait, wake and kick one another.
    pub fn busy(exits: usize) -> Self {
        let capacity = (exits as u32 * 8 + 64).next_power_of_two();
        let mut sample = Self::new(2, &["linux", "rtos", "benos"], capacity).since(1000);
        for vm in 0..3 {
            let stage = Stage::Running as u64;
            sample.add(0, 1000, Event::Life, (vm, NO_VCPU), [stage, 0, 0]);
        }
        for pcpu in 0..2 {
            sample.keep_busy(pcpu, exits / 2);
        }
        sample
    }

    /// One pCPU's part of [`busy`](Self::busy).
    fn keep_busy(&mut self, pcpu: usize, exits: usize) {
        const KINDS: [Kind; 8] = [
            Kind::Call,
            Kind::Device,
            Kind::Call,
            Kind::Interrupt,
            Kind::Call,
            Kind::Device,
            Kind::Interrupt,
            Kind::Wait,
        ];
        let mut time = 1010;
        let mut random = 12345 + pcpu as u64;
        for number in 0..exits {
            let vcpu = ((number / 8 % 3) as u16, pcpu as u8);
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let kind = KINDS[number % 8];
            if number % 8 == 0 {
                self.add(pcpu, time, Event::SchedIn, vcpu, [0, 10, time + 625_000]);
                time += 40;
                self.add(pcpu, time, Event::Enter, vcpu, [0, 0x4008_0000, 5]);
            }
            time += 50 + (random >> 33) % 2000;
            let ticks = 20 + (random >> 45) % 200;
            let leaves = kind == Kind::Wait;
            self.exit(pcpu, time, ticks, vcpu, (kind, leaves));
            time += ticks;
            if leaves && number % 3 == 0 {
                self.at(pcpu, time + 5, Event::Idle);
                self.at(pcpu, time + 900, Event::Awake);
                self.at(pcpu, time + 905, Event::Kicked);
                time += 910;
            }
        }
    }

    /// The bytes that the hypervisor would have in memory.
    pub fn bytes(&self) -> Vec<u8> {
        let rings = HEADER + self.names.len() * NAME;
        let mut bytes = MAGIC.to_vec();
        for half in [VERSION, HEADER as u16, RECORD as u16, self.rings.len() as u16] {
            bytes.extend(half.to_le_bytes());
        }
        bytes.extend([FREQUENCY, self.since, 0].map(u64::to_le_bytes).as_flattened());
        bytes.extend([self.capacity, self.names.len() as u32].map(u32::to_le_bytes).as_flattened());
        bytes.extend([rings as u64, 0].map(u64::to_le_bytes).as_flattened());
        for name in &self.names {
            let mut field = [0; NAME];
            field[..name.len()].copy_from_slice(name.as_bytes());
            bytes.extend(field);
        }
        for ring in &self.rings {
            bytes.extend((ring.len() as u64).to_le_bytes());
            bytes.extend([0; RING - 8]);
            let mut places = vec![[0; RECORD]; self.capacity as usize];
            for (number, record) in ring.iter().enumerate() {
                places[number % self.capacity as usize] = laid_down(record);
            }
            bytes.extend(places.as_flattened());
        }
        bytes
    }

    /// The same as `trace dump` prints it.
    pub fn console(&self) -> String {
        let bytes = self.bytes();
        let mut text = String::new();
        for (number, chunk) in bytes.chunks(64).enumerate() {
            if chunk.iter().all(|&byte| byte == 0) {
                continue;
            }
            let hex: String = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("[monitor] trace {:#x} {hex}\r\n", number * 64);
        }
        text + &format!("[monitor] trace end {}\r\n", bytes.len())
    }
}

fn laid_down(record: &Record) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..8].copy_from_slice(&record.time.to_le_bytes());
    bytes[8] = record.event;
    bytes[9] = record.vcpu;
    bytes[10..12].copy_from_slice(&record.vm.to_le_bytes());
    bytes[12..16].copy_from_slice(&record.detail.to_le_bytes());
    bytes[16..24].copy_from_slice(&record.a.to_le_bytes());
    bytes[24..].copy_from_slice(&record.b.to_le_bytes());
    bytes
}
