//! The console: the multiplexer over the machine's UART, for all pCPUs.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use log::LevelFilter;
use spin::Once;

use super::pl011::Uart;
use super::timer;
use crate::console::{Input, Mux, OWN, Order, Record, Ring};
use crate::el2::lock::{Lock, rank, seize};

/// Bytes that may be on their way to the terminal.
const OUTPUT: usize = 16 << 10;
/// Keys that may wait for the VM that has the keyboard.
const KEYS: usize = 1 << 10;

struct Console {
    mux: Mux<OUTPUT>,
    keys: Ring<KEYS>,
    /// Whose keys these are.
    keys_of: usize,
    /// The UART's interrupt goes on with what its FIFO didn't take.
    begun: bool,
    transmitting: bool,
}

static CONSOLE: Lock<Console, { rank::CONSOLE }> = Lock::new(Console {
    mux: Mux::EMPTY,
    keys: Ring::EMPTY,
    keys_of: NOBODY,
    begun: false,
    transmitting: false,
});

/// Apart from the console: [`Emergency`] takes no lock.
static UART: Once<Uart> = Once::new();
/// The VM for whose UART keys wait until it has room. Written under the console's lock only.
static KEYS_FOR: AtomicUsize = AtomicUsize::new(NOBODY);
/// No VM's number.
const NOBODY: usize = usize::MAX;
/// The console belongs to an [`Emergency`], for good.
static SEIZED: AtomicBool = AtomicBool::new(false);

/// Takes the UART.
pub fn init(uart: Uart) {
    UART.call_once(|| uart);
}

/// Sends `log`'s records to the console.
#[inline(never)]
pub fn init_log(level: Option<LevelFilter>) {
    static LOGGER: Logger = Logger;
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(level.unwrap_or(LevelFilter::Info));
}

/// Announces VM `id`.
pub fn add_vm(id: usize, name: &str) {
    CONSOLE.lock().mux.add_vm(id, name);
}

/// All VMs are announced: announces the monitor. Returns the number by which [`next_key`] knows it.
pub fn add_monitor() -> usize {
    CONSOLE.lock().mux.add_monitor()
}

/// Shows what the monitor says next, at most a line; false while there is no room.
pub fn say(text: &[u8]) -> bool {
    let mut console = CONSOLE.lock();
    let said = console.mux.say(text);
    console.send();
    said
}

/// All VMs are announced, and interrupts are about to be taken: from here on nobody waits for the
/// UART. `batch` says that no person looks on.
pub fn begin(batch: bool) {
    let mut console = CONSOLE.lock();
    console.mux.set_batch(batch);
    if !batch {
        const HELP: &[u8] =
            b"INFO: console: Ctrl-] and a digit moves the keyboard, Ctrl-] ? lists keys and VMs";
        console.mux.own_line(&[HELP]);
    }
    console.send();
    console.begun = true;
}

/// Changes what is to be shown, and sends what comes of it.
#[inline(always)]
fn show(change: impl FnOnce(&mut Mux<OUTPUT>)) {
    let mut console = CONSOLE.lock();
    change(&mut console.mux);
    console.send();
}

/// Shows what VM `id` wrote and didn't end with a line end.
pub fn flush_vm(id: usize) {
    show(|mux| mux.flush(id));
}

/// A byte that VM `id` sent.
pub fn vm_byte(id: usize, byte: u8) {
    show(|mux| mux.byte(id, byte));
}

/// The UART's interrupt. Calls `tell` with each VM, or the monitor, for which keys wait, and `order`
/// with one of which the operator wants something.
pub fn interrupt(tell: impl Fn(usize), order: impl Fn(usize, Order)) {
    let Some(uart) = UART.get() else { return };
    let mut input = Input::Switched;
    while input != Input::None {
        let mut console = CONSOLE.lock();
        input = console.receive(uart);
        console.send();
        let waiting = console.publish_keys();
        drop(console);
        waiting.into_iter().for_each(&tell);
        if let Input::Order(vm, what) = input {
            order(vm, what);
        }
    }
}

/// Whether keys wait for VM `id`, whose UART has had no room for them.
#[inline(always)]
pub fn keys_wait(id: usize) -> bool {
    KEYS_FOR.load(Ordering::Relaxed) == id
}

/// The next key for VM `id`, or for the monitor. To be called with its UART's lock held, while that has
/// room.
pub fn next_key(id: usize) -> Option<u8> {
    let mut console = CONSOLE.lock();
    if console.keys_of != id {
        return None;
    }
    let key = console.keys.pop();
    console.publish_keys();
    key
}

impl Console {
    /// Takes what was typed, until the keyboard goes to another VM or an order comes: the one
    /// that had it is to get what it can first, or a script that types fast would lose its last
    /// words. Returns what it stopped for.
    fn receive(&mut self, uart: &Uart) -> Input {
        while let Some(byte) = uart.receive() {
            match self.mux.input(byte) {
                Input::ToVm(vm, key) => {
                    // What nobody reads is lost: when another VM gets keys, or when it is too much.
                    if core::mem::replace(&mut self.keys_of, vm) != vm {
                        self.keys.clear();
                    }
                    self.keys.put(&[key]);
                    self.keys.commit();
                }
                Input::Switched if self.keys.is_empty() => {}
                Input::None => {}
                input => return input,
            }
        }
        Input::None
    }

    /// Says, and returns, for whom keys wait.
    fn publish_keys(&self) -> Option<usize> {
        let vm = (!self.keys.is_empty()).then_some(self.keys_of);
        KEYS_FOR.store(vm.unwrap_or(NOBODY), Ordering::Relaxed);
        vm
    }

    /// Sends what the UART takes now; it interrupts when it takes more. Before [`begin`] there are
    /// no interrupts, and it waits.
    fn send(&mut self) {
        if !self.mux.is_quiet() || self.transmitting {
            self.send_some();
        }
    }

    #[inline(never)]
    fn send_some(&mut self) {
        let Some(uart) = UART.get() else { return };
        let left = self.drain(uart, !self.begun);
        if left != self.transmitting {
            self.transmitting = left;
            uart.want_transmit(left);
        }
    }

    /// Sends what the UART takes now, or all of it, waiting. Whether something is left.
    fn drain(&mut self, uart: &Uart, wait: bool) -> bool {
        while let Some(byte) = self.mux.peek() {
            if uart.try_send(byte) {
                self.mux.pop();
            } else if !wait {
                return true;
            }
        }
        false
    }
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    /// What is to be formatted is, line by line, before the lock is taken: it may be anything.
    ///
    /// Crates of others talk to their developers, not to an operator.
    fn log(&self, record: &log::Record<'_>) {
        if !record.target().starts_with("mezzanine") {
            return;
        }
        let level = record.level().as_str();
        let mut lines = Record::new(level, |line| show(|mux| mux.own_line(&[line])));
        let _ = fmt::write(&mut lines, *record.args());
        lines.finish();
    }

    fn flush(&self) {}
}

/// The last resort: straight to the UART, past every lock, each line behind `[mezzanine] `.
///
/// The first one is the end of the console: it sends what waits there, waiting for the UART, and
/// nobody else gets to write any more, so that the last line is the last.
pub struct Emergency {
    line_start: bool,
}

impl Emergency {
    /// Takes the console away from everybody else.
    pub fn seize() -> Self {
        if let Some(uart) = UART.get()
            && !SEIZED.swap(true, Ordering::AcqRel)
        {
            last_words(uart);
        }
        Self { line_start: true }
    }

    /// Waits until the last byte is on the wire: power may be cut.
    pub fn finish(self) {
        let still = patience();
        while UART.get().is_some_and(Uart::is_busy) && still() {}
    }

    fn send(&self, byte: u8) {
        if let Some(uart) = UART.get() {
            while !uart.try_send(byte) {}
        }
    }
}

/// True for a tenth of a second: longer than anyone holds the console, or a FIFO takes.
fn patience() -> impl Fn() -> bool {
    let (start, wait) = (timer::now(), timer::frequency() / 10);
    move || timer::now().wrapping_sub(start) < wait
}

/// Sends what waits in the console, and what VMs wrote without a line end.
fn last_words(uart: &Uart) {
    // SAFETY: this happens once, SEIZED says, and the lock is never given back. If somebody still
    // held it, that was this pCPU on its way into a failure, from which it doesn't come back, or
    // one that has made no progress for longer than any work on the console takes.
    let console = unsafe { seize(&CONSOLE, patience()) };
    console.mux.recover();
    console.drain(uart, true);
    for vm in console.mux.vms() {
        console.mux.flush(vm);
        console.drain(uart, true);
    }
}

impl fmt::Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.line_start {
                OWN.iter().for_each(|byte| self.send(*byte));
                self.line_start = false;
            }
            if byte == b'\n' {
                self.send(b'\r');
                self.line_start = true;
            }
            self.send(byte);
        }
        Ok(())
    }
}
