//! One boot of a machine: what it is given, and the talk with it.

use super::{Config, Description, Failure, Outcome, Profile, Vm};
use mezzanine_tools::{
    BARE,
    qemu::Machine,
    root,
    session::{End, Session},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Time for a case to end: a debug build on `max`, on a busy machine, is slow.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Descriptions are files for QEMU, each with a name of its own.
static NEXT_FILE: AtomicU32 = AtomicU32::new(0);

/// A machine, and what it boots.
pub struct Case {
    machine: Machine,
    description: Description,
    blob: Option<Vec<u8>>,
    timeout: Duration,
}

impl Case {
    /// The hypervisor at EL2, with no VM described yet: as it is, the built-in demo.
    pub fn new(config: Config) -> Self {
        let directory = root().join("target").join(BARE).join(config.profile.directory());
        let mut case = Case::boot(config, directory.join("mezzanine.img"));
        case.machine.append.push("batch".into());
        case
    }

    /// A guest program at EL1 with no hypervisor: the reference for what it sees.
    pub fn bare(config: Config, guest: &str) -> Self {
        let image = root().join(format!("target/guests/{guest}.img"));
        let mut case = Case::boot(config, image);
        case.machine.properties.clear();
        // As little RAM as a VM would have: probes look for the end of it.
        case.machine.memory = "256M".into();
        case
    }

    fn boot(config: Config, kernel: PathBuf) -> Self {
        let mut machine = Machine::new(kernel);
        machine.cpu = config.cpu.model().into();
        machine.smp = config.smp;
        Case { machine, description: Description::default(), blob: None, timeout: TIMEOUT }
    }

    /// The hypervisor's ELF instead of its Image, as for an entry at EL3.
    pub fn elf(mut self, profile: Profile) -> Self {
        let directory = root().join("target").join(BARE).join(profile.directory());
        self.machine.kernel = directory.join("mezzanine");
        self
    }

    /// One more VM.
    pub fn vm(mut self, vm: Vm) -> Self {
        self.description.push(vm);
        self
    }

    /// These bytes as the VM description.
    pub fn blob(mut self, blob: Vec<u8>) -> Self {
        self.blob = Some(blob);
        self
    }

    /// Words of the command line that the hypervisor, or the bare guest, gets.
    pub fn append(mut self, words: &str) -> Self {
        self.machine.append.push(words.into());
        self
    }

    /// With a person at the keyboard: without `batch`.
    pub fn attended(mut self) -> Self {
        self.machine.append.retain(|word| word != "batch");
        self
    }

    /// The properties of `-M virt` instead of `virtualization=on`.
    pub fn properties(mut self, properties: &[&str]) -> Self {
        self.machine.properties = properties.iter().map(|&one| one.into()).collect();
        self
    }

    /// The CPU model with more properties of QEMU's.
    pub fn cpu_properties(mut self, properties: &str) -> Self {
        self.machine.cpu.push_str(properties);
        self
    }

    /// RAM, as QEMU's `-m` takes it.
    pub fn memory(mut self, memory: &str) -> Self {
        self.machine.memory = memory.into();
        self
    }

    /// More of QEMU's own options.
    pub fn qemu(mut self, options: &[&str]) -> Self {
        self.machine.extra.extend(options.iter().map(|&one| one.into()));
        self
    }

    /// With a virtio console for the hypervisor's gdb stub, behind a socket of this name.
    pub fn debugged(mut self, socket: &str) -> Self {
        self.machine.debugged_by(&format!("socket,path={socket}"));
        self
    }

    /// Virtual time by the instruction, eight nanoseconds each: a run is the same every time.
    pub fn counting_instructions(self) -> Self {
        self.counting(3)
    }

    /// The same with 2^`shift` nanoseconds each.
    pub fn counting(mut self, shift: u32) -> Self {
        self.machine.properties.push("dtb-randomness=off".into());
        let icount = format!("shift={shift},sleep=off");
        self.qemu(&["-icount", &icount, "-rtc", "clock=vm", "-seed", "1"])
    }

    /// Another time limit.
    pub fn timeout(mut self, seconds: u64) -> Self {
        self.timeout = Duration::from_secs(seconds);
        self
    }

    /// Boots, waits for the end.
    pub fn run(self) -> Result<Outcome, Failure> {
        self.start()?.finish()
    }

    /// Boots, and hands over the keyboard.
    pub fn start(mut self) -> Result<Talk, Failure> {
        let blob = match self.blob.take() {
            Some(blob) => Some(blob),
            None if self.description.is_empty() => None,
            None => Some(self.description.blob()?),
        };
        let mut file = None;
        if let Some(blob) = blob {
            let path = description_file()?;
            fs::write(&path, blob)
                .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
            self.machine.initrd = Some(path.clone());
            file = Some(path);
        }
        Ok(Talk {
            session: Session::held(&mut self.machine.command())?,
            deadline: Instant::now() + self.timeout,
            heard: 0,
            file,
        })
    }
}

/// A new file name below `target/system`.
fn description_file() -> Result<PathBuf, Failure> {
    let directory = root().join("target/system");
    fs::create_dir_all(&directory)
        .map_err(|error| Failure::new(format!("{}: {error}", directory.display())))?;
    let number = NEXT_FILE.fetch_add(1, Ordering::Relaxed);
    Ok(directory.join(format!("{}-{number}.dtb", std::process::id())))
}

/// A machine that runs, and its keyboard.
pub struct Talk {
    session: Session,
    deadline: Instant,
    heard: usize,
    file: Option<PathBuf>,
}

impl Talk {
    /// Waits until the console says this, after what was waited for before.
    pub fn expect(&mut self, text: &str) -> Result<(), Failure> {
        match self.session.wait_for(text, self.heard, self.deadline) {
            Some(heard) => {
                self.heard = heard;
                Ok(())
            }
            None => {
                Err(Outcome::new(End::TimedOut, &self.session)
                    .failure(format!("waited for `{text}`")))
            }
        }
    }

    /// Waits until the console has said this, now or before, but not the other thing.
    pub fn said(&mut self, text: &str, unless: &str) -> Result<(), Failure> {
        // In steps: who is to say it may have ended.
        loop {
            let soon = (Instant::now() + Duration::from_secs(2)).min(self.deadline);
            if self.session.wait_for(text, 0, soon).is_some() {
                return Ok(());
            }
            let heard = String::from_utf8_lossy(&self.session.raw);
            let ended = heard.contains("\n[mezzanine] machine off: status");
            if Instant::now() >= self.deadline || ended || heard.contains(unless) {
                return Err(self.so_far().failure(format!("waited for `{text}`")));
            }
        }
    }

    /// Listens for so long; gives back all that the console has said.
    pub fn listen(&mut self, time: Duration) -> Outcome {
        let until = (Instant::now() + time).min(self.deadline);
        let end = self.session.raw.len();
        // Nobody says this.
        self.session.wait_for("\0", end, until);
        self.so_far()
    }

    /// Whether the time for the case is over.
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// What the console has said so far.
    pub fn so_far(&self) -> Outcome {
        Outcome::new(End::TimedOut, &self.session)
    }

    /// Types.
    pub fn say(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.session.send(text)?)
    }

    /// Waits until QEMU has made a file: a socket of its own.
    pub fn wait_for_file(&mut self, path: &str) -> Result<(), Failure> {
        while !Path::new(path).exists() {
            if Instant::now() > self.deadline {
                return Err(Failure::new(format!("{path}: waited for it in vain")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends it here, whatever it is at.
    pub fn stop(mut self) -> Outcome {
        self.session.stop();
        Outcome::new(End::TimedOut, &self.session)
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Result<Outcome, Failure> {
        let end = self.session.finish(Some(self.deadline))?;
        Ok(Outcome::new(end, &self.session))
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
        }
    }
}
