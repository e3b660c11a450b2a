//! A trace area as bytes, read and checked: [`mezzanine::trace::format`] has the layout.

use mezzanine::exit::esr::{Ec, Esr};
use mezzanine::trace::format::{
    Event, Header, Kind, MAGIC, NAME, NO_VM, Record, RingHeader, VERSION,
};
use std::fmt;

/// Size of [`Header`].
pub const HEADER: usize = size_of::<Header>();
/// Size of [`RingHeader`].
pub const RING: usize = size_of::<RingHeader>();
/// Size of [`Record`].
pub const RECORD: usize = size_of::<Record>();

/// What is in a trace.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Ticks a second.
    pub frequency: u64,
    /// When it began, in ticks.
    pub since: u64,
    /// When it ended: as its header says, or else with its last event.
    pub until: u64,
    /// The VMs' names, by number.
    pub vms: Vec<String>,
    /// One ring a pCPU.
    pub rings: Vec<Ring>,
    /// The events of all pCPUs in the order of time.
    pub events: Vec<Stamped>,
}

/// What is known of a ring besides its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// How many of its records, the oldest, are not there any more.
    pub lost: u64,
    /// From when on everything that happened on this pCPU is there.
    pub since: u64,
}

/// An event, and the pCPU it happened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// Number of the pCPU.
    pub pcpu: u16,
    /// What happened.
    pub event: Event,
    /// Its words.
    pub record: Record,
}

impl Stamped {
    /// The kind of an exit by its syndrome, for one whose handling was not seen.
    pub fn kind(&self) -> Kind {
        match self.event {
            Event::ExitIrq => return Kind::Interrupt,
            Event::ExitSError => return Kind::SError,
            _ => {}
        }
        match Esr::new(self.record.detail.into()).ec() {
            Ec::HVC64 | Ec::SMC64 => Kind::Call,
            Ec::SYSREG => Kind::Register,
            Ec::DATA_ABORT_LOWER => Kind::Abort,
            Ec::INSTRUCTION_ABORT_LOWER => Kind::Fetch,
            Ec::WFX => Kind::Wait,
            Ec::FP_ACCESS => Kind::Fp,
            _ => Kind::Other,
        }
    }
}

/// What is wrong with a trace: where, what is there, and what should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Offset in the trace, in bytes.
    pub offset: usize,
    /// Which field, and what it says.
    pub found: String,
    /// What it may say.
    pub wanted: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at offset {:#x}: {}; wanted: {}", self.offset, self.found, self.wanted)
    }
}

impl Trace {
    /// Reads a trace area.
    ///
    /// The machine may have been stopped while it wrote. So of a ring that is full the oldest record
    /// counts as lost: the next is written over it, and may be half there.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let bytes = Bytes(bytes);
        let header = bytes.header()?;
        let mut trace = Self {
            frequency: header.frequency,
            since: header.since,
            until: header.until,
            vms: bytes.names(&header)?,
            ..Self::default()
        };
        for pcpu in 0..header.pcpus {
            let ring = bytes.ring(&header, pcpu, &mut trace.events)?;
            trace.rings.push(ring);
        }
        trace.events.sort_by_key(|event| event.record.time);
        let last = trace.events.last().map_or(trace.since, |event| event.record.time);
        trace.until = if trace.until == 0 { last } else { trace.until.max(last) };
        Ok(trace)
    }

    /// How many records are lost in all.
    pub fn lost(&self) -> u64 {
        self.rings.iter().map(|ring| ring.lost).sum()
    }

    /// A VM's name, if it is one.
    pub fn vm(&self, number: u16) -> Option<&str> {
        self.vms.get(usize::from(number)).map(String::as_str)
    }

    /// A span of ticks in nanoseconds.
    pub fn nanoseconds(&self, ticks: u64) -> u64 {
        let scaled = u128::from(ticks) * 1_000_000_000 / u128::from(self.frequency.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }

    /// From when on there is something of each pCPU.
    pub fn whole_since(&self) -> u64 {
        self.rings.iter().map(|ring| ring.since).max().unwrap_or(self.since).min(self.until)
    }
}

/// The bytes of a trace area.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    /// `N` bytes from `offset` on; `what` says whose they are.
    fn get<const N: usize>(&self, offset: usize, what: &str) -> Result<[u8; N], Fault> {
        let end = offset.checked_add(N);
        let found = end.and_then(|end| self.0.get(offset..end)).and_then(|s| s.try_into().ok());
        found.ok_or_else(|| Fault {
            offset,
            found: format!("the trace ends with {} bytes", self.0.len()),
            wanted: format!("{N} bytes of {what}"),
        })
    }

    fn u16(&self, offset: usize, what: &str) -> Result<u16, Fault> {
        self.get(offset, what).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: usize, what: &str) -> Result<u32, Fault> {
        self.get(offset, what).map(u32::from_le_bytes)
    }

    fn u64(&self, offset: usize, what: &str) -> Result<u64, Fault> {
        self.get(offset, what).map(u64::from_le_bytes)
    }

    fn header(&self) -> Result<Header, Fault> {
        let magic = self.get(0, "the magic")?;
        check(0, "magic", magic.escape_ascii(), magic == MAGIC, MAGIC.escape_ascii())?;
        let header = Header {
            magic,
            version: self.u16(8, "the version")?,
            header_size: self.u16(10, "the header's size")?,
            record_size: self.u16(12, "a record's size")?,
            pcpus: self.u16(14, "the number of pCPUs")?,
            frequency: self.u64(16, "the frequency")?,
            since: self.u64(24, "the time of the beginning")?,
            until: self.u64(32, "the time of the end")?,
            capacity: self.u32(40, "the capacity")?,
            vms: self.u32(44, "the number of VMs")?,
            rings: self.u64(48, "the rings' offset")?,
            reserved: self.u64(56, "the reserved word")?,
        };
        let Header { version, header_size, record_size, pcpus, .. } = header;
        check(8, "version", version, version == VERSION, VERSION)?;
        check(10, "header size", header_size, usize::from(header_size) == HEADER, HEADER)?;
        check(12, "record size", record_size, usize::from(record_size) == RECORD, RECORD)?;
        check(14, "pCPUs", pcpus, pcpus > 0, "1 or more")?;
        let Header { frequency, capacity, vms, rings, .. } = header;
        check(16, "frequency", frequency, frequency > 0, "1 or more ticks a second")?;
        check(40, "capacity", capacity, capacity.is_power_of_two(), "a power of two")?;
        check(44, "VMs", vms, vms < u32::from(NO_VM), format!("less than {NO_VM}"))?;
        let least = HEADER + vms as usize * NAME;
        let bytes = self.0.len();
        let fits = |rings: usize| rings >= least && rings <= bytes && rings.is_multiple_of(8);
        let fits = usize::try_from(rings).is_ok_and(fits);
        let wanted = format!("a multiple of 8 from {least} to the trace's end, {bytes}");
        check(48, "rings' offset", rings, fits, wanted)?;
        Ok(header)
    }

    fn names(&self, header: &Header) -> Result<Vec<String>, Fault> {
        let name = |number| {
            let name: [u8; NAME] = self.get(HEADER + number * NAME, "a VM's name")?;
            let length = name.iter().position(|&byte| byte == 0).unwrap_or(NAME);
            Ok(String::from_utf8_lossy(&name[..length]).into_owned())
        };
        (0..header.vms as usize).map(name).collect()
    }

    /// Adds the records of a ring to `events`, the oldest first.
    fn ring(&self, head: &Header, pcpu: u16, events: &mut Vec<Stamped>) -> Result<Ring, Fault> {
        let capacity = u64::from(head.capacity);
        let size = RING + head.capacity as usize * RECORD;
        let start = head.rings as usize + usize::from(pcpu) * size;
        let written = self.u64(start, "a ring's header")?;
        let begun = self.u64(start + 8, "a ring's header")?;
        let ordered = format!("at most {written}, of all that were written");
        check(start + 8, "records before it began", begun, begun <= written, ordered)?;
        let oldest = begun.max(written.saturating_sub(capacity - 1));
        let lost = oldest - begun;
        let first = events.len();
        for number in oldest..written {
            let place = (number & (capacity - 1)) as usize;
            let event = self.record(start + RING + place * RECORD, pcpu, head)?;
            let before = events[first..].last().map_or(0, |event: &Stamped| event.record.time);
            let time = event.record.time;
            let ordered = format!("{before} or later, as of the record before it");
            check(start + RING + place * RECORD, "time", time, time >= before, ordered)?;
            events.push(event);
        }
        let oldest = events.get(first).map(|event| event.record.time);
        let since = match oldest {
            Some(oldest) if lost > 0 => oldest,
            Some(oldest) => head.since.min(oldest),
            None => head.since,
        };
        Ok(Ring { lost, since })
    }

    fn record(&self, offset: usize, pcpu: u16, head: &Header) -> Result<Stamped, Fault> {
        let [event, vcpu] = self.get(offset + 8, "a record")?;
        let record = Record {
            time: self.u64(offset, "a record")?,
            event,
            vcpu,
            vm: self.u16(offset + 10, "a record")?,
            detail: self.u32(offset + 12, "a record")?,
            a: self.u64(offset + 16, "a record")?,
            b: self.u64(offset + 24, "a record")?,
        };
        let known = record.vm == NO_VM || u32::from(record.vm) < head.vms;
        check(offset + 10, "VM", record.vm, known, format!("less than {}, or none", head.vms))?;
        let event = Event::new(event).ok_or_else(|| Fault {
            offset: offset + 8,
            found: format!("event {event}"),
            wanted: format!("1 to {}", Event::ALL.len()),
        })?;
        Ok(Stamped { pcpu, event, record })
    }
}

/// Fails, unless `good`, with what was found of `field` at `offset`.
fn check(
    offset: usize,
    field: &str,
    found: impl fmt::Display,
    good: bool,
    wanted: impl fmt::Display,
) -> Result<(), Fault> {
    if good {
        return Ok(());
    }
    Err(Fault { offset, found: format!("{field} {found}"), wanted: wanted.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::Sample;

    fn two_pcpus() -> Sample {
        let mut sample = Sample::new(2, &["a", "b"], 8);
        sample.at(0, 10, Event::Idle).at(1, 5, Event::Kicked).at(1, 20, Event::Awake);
        sample
    }

    #[test]
    fn records_of_all_pcpus_are_in_the_order_of_time() {
        let trace = Trace::parse(&two_pcpus().bytes()).unwrap();
        let found: Vec<_> = trace.events.iter().map(|e| (e.pcpu, e.record.time)).collect();
        assert_eq!(found, [(1, 5), (0, 10), (1, 20)]);
        assert_eq!((trace.vms.join(" ").as_str(), trace.lost(), trace.until), ("a b", 0, 20));
    }

    #[test]
    fn the_oldest_records_of_a_full_ring_are_lost_and_counted() {
        let mut sample = Sample::new(1, &[], 8);
        for time in 0..7 {
            sample.at(0, time, Event::Kicked);
        }
        let lost = |sample: &Sample| {
            let trace = Trace::parse(&sample.bytes()).unwrap();
            (trace.lost(), trace.events[0].record.time, trace.events.len())
        };
        assert_eq!(lost(&sample), (0, 0, 7));
        // The next record would be written over the first, or is half written.
        sample.at(0, 7, Event::Kicked);
        assert_eq!(lost(&sample), (1, 1, 7));
        for time in 8..21 {
            sample.at(0, time, Event::Kicked);
        }
        assert_eq!(lost(&sample), (14, 14, 7));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let good = two_pcpus().bytes();
        let wrong = |offset: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[offset] = byte;
            Trace::parse(&bytes).unwrap_err().to_string()
        };
        assert_eq!(wrong(0, b'X'), "at offset 0x0: magic XZTRACE\\x00; wanted: MZTRACE\\x00");
        assert_eq!(wrong(8, 2), "at offset 0x8: version 2; wanted: 1");
        assert_eq!(wrong(12, 33), "at offset 0xc: record size 33; wanted: 32");
        assert_eq!(wrong(40, 7), "at offset 0x28: capacity 7; wanted: a power of two");
        let rings = HEADER + 2 * NAME;
        assert_eq!(
            wrong(rings + RING + 8, 99),
            format!("at offset {:#x}: event 99; wanted: 1 to 19", rings + RING + 8)
        );
        assert_eq!(
            wrong(rings + RING + 10, 7),
            format!("at offset {:#x}: VM 65287; wanted: less than 2, or none", rings + RING + 10)
        );
        let second = rings + RING + 8 * RECORD;
        assert_eq!(
            wrong(second + RING, 200),
            format!(
                "at offset {:#x}: time 20; wanted: 200 or later, as of the record before it",
                second + RING + RECORD
            )
        );
    }

    #[test]
    fn a_trace_that_is_cut_short_says_what_is_missing() {
        let good = two_pcpus().bytes();
        for length in 0..good.len() - 6 * RECORD {
            let fault = Trace::parse(&good[..length]).unwrap_err();
            let missing = fault.found == format!("the trace ends with {length} bytes");
            let outside = fault.wanted.ends_with(&format!("to the trace's end, {length}"));
            assert!(missing || outside, "{fault}");
        }
    }
}
