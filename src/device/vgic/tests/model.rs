//! A GIC without list registers: each interrupt a plain state machine (IHI 0069, section 4.1.2),
//! searched from end to end. Slow, and too simple to be wrong.

use super::Frame;
use std::vec::Vec;

/// One interrupt.
#[derive(Clone, Debug, Default)]
pub struct Irq {
    pub enabled: bool,
    pub group1: bool,
    pub edge: bool,
    pub latch: bool,
    pub level: bool,
    /// The vCPU on which it is active.
    pub active: Option<usize>,
    pub priority: u8,
    /// IROUTER, for an SPI.
    pub router: u64,
}

impl Irq {
    pub fn pending(&self) -> bool {
        self.latch || (self.level && !self.edge)
    }

    /// A bit of the register at offset 0x80 × `register`.
    pub fn read(&self, register: u64) -> bool {
        match register {
            1 => self.group1,
            2 | 3 => self.enabled,
            4 | 5 => self.pending(),
            _ => self.active.is_some(),
        }
    }

    /// Writes `set` to such a bit; `on` is where it would become active.
    fn write(&mut self, register: u64, set: bool, on: usize) {
        match register {
            1 => self.group1 = set,
            2 if set => self.enabled = true,
            3 if set => self.enabled = false,
            4 if set => self.latch = true,
            5 if set => self.latch = false,
            6 if set => _ = self.active.get_or_insert(on),
            7 if set => self.active = None,
            _ => {}
        }
    }
}

/// Which interrupt: an SGI or PPI of a vCPU, or an SPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Private(usize, u32),
    Spi(u32),
}

impl Name {
    pub fn of(vcpu: usize, intid: u32) -> Self {
        if intid < 32 { Self::Private(vcpu, intid) } else { Self::Spi(intid) }
    }
}

/// All interrupts of a VM.
pub struct Model {
    private: Vec<Vec<Irq>>,
    spis: Vec<Irq>,
    groups: [bool; 2],
    awake: Vec<bool>,
    affinities: Vec<u32>,
}

impl Model {
    pub fn new(affinities: &[u32], spis: usize) -> Self {
        let sgi_edge = |i| Irq { edge: i < 16, ..Irq::default() };
        let spi = Irq { router: affinities[0].into(), ..Irq::default() };
        Self {
            private: affinities.iter().map(|_| (0..32).map(sgi_edge).collect()).collect(),
            spis: std::vec![spi; spis],
            groups: [false; 2],
            awake: std::vec![false; affinities.len()],
            affinities: affinities.into(),
        }
    }

    pub fn irq(&mut self, name: Name) -> &mut Irq {
        match name {
            Name::Private(vcpu, intid) => &mut self.private[vcpu][intid as usize],
            Name::Spi(intid) => &mut self.spis[intid as usize - 32],
        }
    }

    /// How many interrupts are active.
    pub fn actives(&self) -> usize {
        let all = self.private.iter().flatten().chain(&self.spis);
        all.filter(|irq| irq.active.is_some()).count()
    }

    /// The input line of an interrupt.
    pub fn drive(&mut self, name: Name, high: bool) {
        let irq = self.irq(name);
        irq.latch |= irq.edge && high && !irq.level;
        irq.level = high;
    }

    /// A legal write of a register by `vcpu`, by the tables of IHI 0069, 12.8 and 12.10.
    pub fn write(&mut self, vcpu: usize, frame: Frame, offset: u64, size: u32, value: u64) {
        let (owner, offset) = match frame {
            Frame::Dist => (vcpu, offset),
            Frame::Redist(owner) if offset == 0x14 => {
                self.awake[owner] = value & 2 == 0;
                return;
            }
            Frame::Redist(owner) => (owner, offset - 0x1_0000),
        };
        match offset {
            0 => self.groups = [value & 1 != 0, value & 2 != 0],
            0x80..0x400 => {
                for i in 0..32 {
                    let name = Name::of(owner, (offset as u32 & 0x7f) * 8 + i);
                    let router = self.irq(name).router;
                    let on = if let Name::Spi(_) = name { self.target(router) } else { None };
                    let private = if let Name::Private(of, _) = name { of } else { vcpu };
                    let set = value >> i & 1 != 0;
                    self.irq(name).write(offset / 0x80, set, on.unwrap_or(private));
                }
            }
            0x400..0x800 => {
                for i in 0..size {
                    let name = Name::of(owner, offset as u32 - 0x400 + i);
                    self.irq(name).priority = (value >> (8 * i)) as u8 & 0xf8;
                }
            }
            0xc00..0xd00 => {
                for i in 0..16 {
                    let intid = (offset as u32 - 0xc00) * 4 + i;
                    if intid >= 16 {
                        let edge = value >> (2 * i + 1) & 1 != 0;
                        self.irq(Name::of(owner, intid)).edge = edge;
                    }
                }
            }
            _ => {
                let intid = (offset as u32 - 0x6000) / 8;
                self.irq(Name::Spi(intid)).router = value & 0xff_80ff_ffff;
            }
        }
    }

    /// The interrupts of bank `bank`, 0 being the private one of `vcpu`.
    pub fn bank(&mut self, vcpu: usize, bank: usize) -> &mut [Irq] {
        match bank {
            0 => &mut self.private[vcpu],
            n => &mut self.spis[32 * (n - 1)..32 * n],
        }
    }

    /// The vCPU to which a value of IROUTER leads.
    fn target(&self, router: u64) -> Option<usize> {
        if router & 1 << 31 != 0 {
            return Some(self.awake.iter().position(|&a| a).unwrap_or(0));
        }
        self.affinities.iter().position(|&a| u64::from(a) == router)
    }

    /// A write of ICC_SGI1R_EL1 by `vcpu`.
    pub fn sgi(&mut self, vcpu: usize, value: u64) {
        for target in 0..self.private.len() {
            let aff = |level: u32| u64::from(self.affinities[target]) >> (8 * level) & 0xff;
            let same = [(1, 16), (2, 32), (3, 48)].map(|(n, at)| aff(n) == value >> at & 0xff);
            let listed = same == [true; 3] && value & 1 << aff(0) != 0;
            if if value >> 40 & 1 != 0 { target != vcpu } else { listed } {
                self.private[target][(value >> 24 & 15) as usize].latch = true;
            }
        }
    }

    /// What the CPU interface of `vcpu` would be told of, with its priority.
    pub fn deliverable(&self, vcpu: usize) -> Vec<(u32, &Irq)> {
        let private = (0..32).zip(&self.private[vcpu]);
        let spis = (32..).zip(&self.spis);
        let mine = spis.filter(|(_, irq)| self.target(irq.router) == Some(vcpu));
        private
            .chain(mine)
            .filter(|(_, irq)| {
                let group = self.groups[usize::from(irq.group1)];
                irq.pending() && irq.enabled && group && irq.active.is_none()
            })
            .collect()
    }

    /// The best priority that `vcpu` would acknowledge, through the mask of its CPU interface.
    pub fn best(&self, vcpu: usize, vmcr: u64, running: Option<u8>) -> Option<u8> {
        let unmasked = self.unmasked(vcpu, vmcr);
        unmasked.min().filter(|&p| running.is_none_or(|r| p < r))
    }

    /// The priorities of what could end a WFI of `vcpu`.
    pub fn unmasked(&self, vcpu: usize, vmcr: u64) -> impl Iterator<Item = u8> {
        let all = self.deliverable(vcpu).into_iter();
        all.filter(move |(_, irq)| vmcr & (1 << u32::from(irq.group1)) != 0)
            .map(|(_, irq)| irq.priority)
            .filter(move |&p| u64::from(p) < vmcr >> 24 & 0xff)
    }

    /// `vcpu` acknowledges `intid`.
    pub fn acknowledge(&mut self, vcpu: usize, intid: u32) {
        let irq = self.irq(Name::of(vcpu, intid));
        irq.latch = false;
        irq.active = Some(vcpu);
    }

    /// `vcpu` ends `intid`, which it has acknowledged.
    pub fn end(&mut self, vcpu: usize, intid: u32) {
        let irq = self.irq(Name::of(vcpu, intid));
        if irq.active == Some(vcpu) {
            irq.active = None;
        }
    }
}
