//! The rings in memory.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};

use spin::Once;
use thiserror::Error;

use super::format::{Header, MAGIC, NAME, Record, RingHeader, VERSION};
use crate::el2::layout::MAX_PCPUS;
use crate::el2::percpu;
use crate::memory::{PAGE_SIZE, Pa, heap};
use crate::platform::timer;

/// Bit of [`WATCH`]: records are written.
pub const RECORDS: u8 = 1;
/// Bit of [`WATCH`]: exits are timed.
pub const TIMES: u8 = 2;

/// What is watched.
static WATCH: AtomicU8 = AtomicU8::new(0);

/// Sizes in words of 8 bytes.
const HEADER_WORDS: usize = size_of::<Header>() / 8;
const RING_WORDS: usize = size_of::<RingHeader>() / 8;
const RECORD_WORDS: usize = size_of::<Record>() / 8;
const NAME_WORDS: usize = NAME / 8;
/// Where in the header `since` and `until` are.
const SINCE: usize = core::mem::offset_of!(Header, since) / 8;
const UNTIL: usize = core::mem::offset_of!(Header, until) / 8;
/// Where in a ring's header the two counts are.
const WRITTEN: usize = core::mem::offset_of!(RingHeader, written) / 8;
const BEGUN: usize = core::mem::offset_of!(RingHeader, begun) / 8;

/// The trace's memory: taken when it first begins, and kept.
struct Area {
    pa: Pa,
    words: &'static [AtomicU64],
    /// Where the rings begin, in words.
    rings: usize,
    /// Records that a ring has room for, a power of two.
    capacity: usize,
}

static AREA: Once<Area> = Once::new();

/// Why there is no trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Error {
    /// Not enough memory in a row for this many bytes.
    #[error("trace: {0} bytes wanted, more than EL2's heap has in a row")]
    NoMemory(u64),
    /// The rings are there already, and have room for another number of records.
    #[error("trace: found {0} records wanted, while the rings have room for {1} and are kept")]
    Sized(u32, usize),
}

/// Whether anything is watched: then exits take the way on which they are told of.
#[inline(always)]
pub fn is_watched() -> bool {
    WATCH.load(Ordering::Relaxed) != 0
}

/// Whether records are written.
#[inline(always)]
pub fn is_on() -> bool {
    WATCH.load(Ordering::Relaxed) & RECORDS != 0
}

/// Starts or stops to watch what `bit` says.
pub fn watch(bit: u8, on: bool) {
    if on {
        WATCH.fetch_or(bit, Ordering::Release);
    } else {
        WATCH.fetch_and(!bit, Ordering::Release);
    }
}

/// Writes the record that `make` makes, if any are written.
#[inline(always)]
pub fn note(make: impl FnOnce() -> Record) {
    if is_on() {
        write(make());
    }
}

/// Into this pCPU's ring, with the time.
#[cold]
#[inline(never)]
fn write(mut record: Record) {
    let Some(area) = AREA.get() else { return };
    let Some(ring) = area.ring(percpu::this().id.get()) else { return };
    let Some((count, records)) = ring.get(WRITTEN).zip(ring.get(RING_WORDS..)) else { return };
    record.time = timer::now();
    let written = count.load(Ordering::Relaxed);
    let place = (written as usize & area.capacity.wrapping_sub(1)).wrapping_mul(RECORD_WORDS);
    let place = records.get(place..).unwrap_or_default();
    for (word, value) in place.iter().zip(record.words()) {
        word.store(value, Ordering::Relaxed);
    }
    count.store(written.wrapping_add(1), Ordering::Release);
}

impl Area {
    /// Memory for `pcpus` rings of `capacity` records, and for the names of VMs.
    fn new<'a>(
        capacity: u32,
        pcpus: usize,
        names: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        let capacity = capacity as usize;
        let vms = names.len();
        let rings = HEADER_WORDS.saturating_add(vms.saturating_mul(NAME_WORDS));
        let ring = RING_WORDS.saturating_add(capacity.saturating_mul(RECORD_WORDS));
        let words = rings.saturating_add(ring.saturating_mul(pcpus));
        let bytes = (words as u64).saturating_mul(8).next_multiple_of(PAGE_SIZE);
        let at = heap::zeroed_pages(bytes / PAGE_SIZE, PAGE_SIZE).ok_or(Error::NoMemory(bytes))?;
        // SAFETY: pages of that many words, just taken, which are never given back.
        let all: &'static [AtomicU64] =
            unsafe { core::slice::from_raw_parts(at.get() as *const AtomicU64, words) };
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            header_size: size_of::<Header>() as u16,
            record_size: size_of::<Record>() as u16,
            pcpus: pcpus as u16,
            frequency: timer::frequency(),
            since: 0,
            until: 0,
            capacity: capacity as u32,
            vms: vms as u32,
            rings: (rings as u64).saturating_mul(8),
            reserved: 0,
        };
        put(all, &header.words());
        for (name, place) in
            names.zip(all.get(HEADER_WORDS..).unwrap_or_default().chunks(NAME_WORDS))
        {
            let mut words = [0; NAME_WORDS];
            for (index, byte) in name.bytes().take(NAME).enumerate() {
                if let Some(word) = words.get_mut(index / 8) {
                    *word |= u64::from(byte) << (index % 8 * 8);
                }
            }
            put(place, &words);
        }
        Ok(Self { pa: heap::pa(at), words: all, rings, capacity })
    }

    /// The ring of `pcpu`, its header first.
    fn ring(&self, pcpu: usize) -> Option<&'static [AtomicU64]> {
        let size = self.capacity.wrapping_mul(RECORD_WORDS).wrapping_add(RING_WORDS);
        let start = self.rings.wrapping_add(size.wrapping_mul(pcpu));
        self.words.get(start..start.wrapping_add(size))
    }

    fn rings(&self) -> impl Iterator<Item = &'static [AtomicU64]> {
        (0..MAX_PCPUS).filter_map(|pcpu| self.ring(pcpu))
    }
}

fn put(place: &[AtomicU64], values: &[u64]) {
    place.iter().zip(values).for_each(|(word, value)| word.store(*value, Ordering::Relaxed));
}

/// Begins to write records: into rings for `capacity` each (a power of two), which are made at the
/// first time and kept. Returns where it all is, and its bytes.
pub fn begin<'a>(
    capacity: u32,
    pcpus: usize,
    names: impl ExactSizeIterator<Item = &'a str>,
) -> Result<(Pa, u64), Error> {
    let area = AREA.try_call_once(|| Area::new(capacity, pcpus, names))?;
    if area.capacity != capacity as usize {
        return Err(Error::Sized(capacity, area.capacity));
    }
    for ring in area.rings() {
        if let Some((written, begun)) = ring.get(WRITTEN).zip(ring.get(BEGUN)) {
            begun.store(written.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
    stamp(area, SINCE, timer::now());
    stamp(area, UNTIL, 0);
    watch(RECORDS, true);
    Ok((area.pa, size_of_val(area.words) as u64))
}

/// Ends to write records. What was written stays.
pub fn end() {
    watch(RECORDS, false);
    fence(Ordering::SeqCst);
    if let Some(area) = AREA.get() {
        stamp(area, UNTIL, timer::now());
    }
}

fn stamp(area: &Area, at: usize, time: u64) {
    if let Some(word) = area.words.get(at) {
        word.store(time, Ordering::Relaxed);
    }
}

/// Words of a piece of the trace that is printed at once.
const CHUNK: usize = 8;

/// Piece `index` of the trace, 64 bytes: where it is in it, and its words. The last one is followed by
/// `None`.
pub fn chunk(index: usize) -> Option<(u64, [u64; CHUNK])> {
    let start = index.checked_mul(CHUNK)?;
    let words = AREA.get()?.words.get(start..)?;
    let mut chunk = [0; CHUNK];
    chunk.iter_mut().zip(words).for_each(|(to, from)| *to = from.load(Ordering::Relaxed));
    (!words.is_empty()).then_some((start as u64 * 8, chunk))
}
