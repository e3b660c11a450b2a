//! A virtio console: a second stream of bytes for the operator, on machines that have one UART
//! (Virtual I/O Device 1.1, 5.3). Of all virtio devices it is the only one that EL2 drives; the
//! transport and the rings are the crate's, and what is here never waits for the device.

use core::ops::Range;
use core::ptr::NonNull;

use log::error;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Error, Hal, PAGE_SIZE, PhysAddr, Result};

use super::machine::{Machine, Virtio};
use crate::el2::mmu;
use crate::memory::{self, Pa, Va, heap};

/// EL2's memory, as the crate asks for it.
///
/// Everything is on the heap, and cacheable: a virtio device of QEMU's sees what CPUs see. One that
/// is not coherent (no `dma-coherent` in its node) would need rings that are mapped Non-cacheable,
/// and each buffer cleaned to the point of coherency in `share` and invalidated in `unshare`.
struct El2;

// SAFETY: `dma_alloc` gives out zeroed pages of the heap that are nobody else's, for good.
unsafe impl Hal for El2 {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match heap::zeroed_pages(pages as u64, memory::PAGE_SIZE) {
            Some(va) => (heap::pa(va).get(), pointer(va)),
            // 0 tells that there is no memory.
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // Asked for only where the device was refused at boot.
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        // For PCI alone.
        NonNull::dangling()
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        heap::pa(Va::new(buffer.as_ptr().cast::<u8>() as u64)).get()
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

fn pointer(va: Va) -> NonNull<u8> {
    NonNull::new(va.get() as *mut u8).unwrap_or(NonNull::dangling())
}

/// The queues of port 0 (5.3.2).
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

bitflags::bitflags! {
    /// What of a device's features is made use of: nothing of a console's (5.3.3).
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        /// It is none of the time before version 1 of the standard.
        const VERSION_1 = 1 << 32;
    }
}

/// A queue with the one buffer that is passed back and forth.
struct Channel {
    number: u16,
    queue: VirtQueue<El2, 2>,
    buffer: &'static mut [u8],
    /// How much of it the device has, and by which token.
    lent: Option<(u16, usize)>,
}

impl Channel {
    fn new(transport: &mut MmioTransport<'static>, number: u16) -> Result<Self> {
        let queue = VirtQueue::new(transport, number, false, false)?;
        let page = heap::zeroed_pages(1, memory::PAGE_SIZE).ok_or(Error::DmaError)?;
        // SAFETY: a page that was just allocated, for good.
        let buffer = unsafe { core::slice::from_raw_parts_mut(page.get() as *mut u8, PAGE_SIZE) };
        Ok(Self { number, queue, buffer, lent: None })
    }

    /// Lends the device the first `length` bytes of the buffer: to read them, or to fill them.
    fn lend(&mut self, transport: &mut MmioTransport<'static>, length: usize) {
        let Some(part) = self.buffer.get_mut(..length) else { return };
        // SAFETY: as long as something is lent nobody else touches the buffer.
        let token = unsafe {
            match self.number {
                TRANSMIT => self.queue.add(&[part], &mut []),
                _ => self.queue.add(&[], &mut [part]),
            }
        };
        self.lent = token.ok().map(|token| (token, length));
        transport.notify(self.number);
    }

    /// Takes back what was lent, if the device is done with it: with how much of it.
    fn take_back(&mut self) -> Option<usize> {
        let (token, length) = self.lent?;
        let part = self.buffer.get_mut(..length)?;
        // SAFETY: what was added by this token.
        let used = unsafe {
            match self.number {
                TRANSMIT => self.queue.pop_used(token, &[part], &mut []),
                _ => self.queue.pop_used(token, &[], &mut [part]),
            }
        };
        let used = used.ok()? as usize;
        self.lent = None;
        Some(used.min(length))
    }
}

/// The console.
pub struct Console {
    transport: MmioTransport<'static>,
    receive: Channel,
    transmit: Channel,
    /// What of the buffer was received, and not yet taken.
    received: Range<usize>,
    /// Its INTID.
    pub intid: u32,
}

impl Console {
    /// The first console behind the machine's transports, if there is one.
    pub fn find(machine: &Machine<'_>) -> Option<Self> {
        // Many transports share a page.
        let mut mapped: Option<(Pa, Va)> = None;
        machine.virtio().find_map(|Virtio { registers, intid }| {
            let page = registers.base.align_down(memory::PAGE_SIZE);
            let end = registers.end().get().wrapping_sub(page.get());
            let at = match mapped {
                Some((pa, va)) if pa == page && end <= memory::PAGE_SIZE => va,
                _ => mmu::map_device(page, end).ok()?,
            };
            mapped = Some((page, at));
            let header = pointer(at.wrapping_add(registers.base.offset_in(memory::PAGE_SIZE)));
            // SAFETY: registers, by the machine's tree, mapped as a device, for this driver alone.
            let transport = unsafe {
                MmioTransport::new(header.cast::<VirtIOHeader>(), registers.size as usize)
            };
            // What isn't there has device number 0, which is no type.
            let transport =
                transport.ok().filter(|one| one.device_type() == DeviceType::Console)?;
            let console = Self::new(transport, intid);
            console.inspect_err(|why| error!("virtio console at {}: {why}", registers.base)).ok()
        })
    }

    fn new(mut transport: MmioTransport<'static>, intid: u32) -> Result<Self> {
        transport.begin_init(Features::VERSION_1);
        let mut receive = Channel::new(&mut transport, RECEIVE)?;
        let transmit = Channel::new(&mut transport, TRANSMIT)?;
        transport.finish_init();
        receive.lend(&mut transport, PAGE_SIZE);
        Ok(Self { transport, receive, transmit, received: 0..0, intid })
    }

    /// Acknowledges the device's interrupt: there may be more to receive, or room to send.
    pub fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }

    /// The next byte that has come.
    pub fn receive(&mut self) -> Option<u8> {
        if self.received.is_empty() {
            self.received = 0..self.receive.take_back()?;
        }
        let byte = self.received.next().and_then(|at| self.receive.buffer.get(at)).copied();
        if self.received.is_empty() {
            self.receive.lend(&mut self.transport, PAGE_SIZE);
        }
        byte
    }

    /// Sends of `bytes` as many as there is room for now, and returns how many: none as long as the
    /// device is at those before.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        if self.transmit.lent.is_some() && self.transmit.take_back().is_none() {
            return 0;
        }
        let pairs = self.transmit.buffer.iter_mut().zip(bytes);
        let count = pairs.map(|(place, byte)| *place = *byte).count();
        if count > 0 {
            self.transmit.lend(&mut self.transport, count);
        }
        count
    }
}
