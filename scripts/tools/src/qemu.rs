//! QEMU's command line.

use crate::{Error, Result, var};
use std::{fs, path::PathBuf, process::Command};

/// The machine that QEMU plays, and what it boots.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Properties of `-M virt` after `gic-version=3`, each `name=value`.
    pub properties: Vec<String>,
    /// The CPU model, with its own properties.
    pub cpu: String,
    /// The number of pCPUs.
    pub smp: u32,
    /// RAM, as QEMU's `-m` takes it.
    pub memory: String,
    /// `-kernel`: an arm64 Image (x0 = device tree), or an ELF (x0 = 0). None if empty.
    pub kernel: PathBuf,
    /// `-initrd`: the VM description.
    pub initrd: Option<PathBuf>,
    /// `-append`: the words of the hypervisor's command line.
    pub append: Vec<String>,
    /// Anything else, as it stands.
    pub extra: Vec<String>,
    /// Whether QEMU's threads share one core of this machine.
    ///
    /// Under `-icount` a run is the same every time, but for a race in QEMU 7.2: a CPU that begins
    /// to wait counts as idle a moment before its instructions are accounted for. Its main loop, if
    /// it looks just then, moves the clock too far, and a timer comes late. On one core it does not
    /// look then. (Where taskset is not found the race is there, about once in 50,000 waits.)
    pub one_core: bool,
}

impl Machine {
    /// A machine that boots `kernel` at EL2, with QEMU's defaults for everything else.
    pub fn new(kernel: impl Into<PathBuf>) -> Self {
        Machine {
            properties: vec!["virtualization=on".into()],
            cpu: "cortex-a72".into(),
            smp: 2,
            memory: "1G".into(),
            kernel: kernel.into(),
            initrd: None,
            append: Vec::new(),
            extra: Vec::new(),
            one_core: false,
        }
    }

    /// The same, with what `SMP`, `MEM`, `CPU`, `APPEND`, `MON` and `QEMU_ARGS` say.
    pub fn from_env(kernel: impl Into<PathBuf>) -> Result<Self> {
        let mut machine = Machine::new(kernel);
        if let Some(smp) = var("SMP") {
            machine.smp = smp
                .parse()
                .map_err(|_| Error::Usage(format!("SMP={smp}: a number of pCPUs was wanted")))?;
        }
        if let Some(memory) = var("MEM") {
            machine.memory = memory;
        }
        if let Some(cpu) = var("CPU") {
            machine.cpu = cpu;
        }
        machine.append = var("APPEND").into_iter().collect();
        if let Some(commands) = var("MON") {
            machine.append.push(monitor(&commands)?);
        }
        machine.extra = words(&var("QEMU_ARGS").unwrap_or_default());
        Ok(machine)
    }

    /// A virtio console for the hypervisor's gdb stub, on this character device of QEMU's.
    pub fn debugged_by(&mut self, chardev: &str) {
        self.append.push("gdb".into());
        self.extra.extend([
            "-device".into(),
            "virtio-serial-device,max_ports=1".into(),
            "-chardev".into(),
            format!("{chardev},id=gdb,server=on,wait=off"),
            "-device".into(),
            "virtconsole,chardev=gdb".into(),
        ]);
    }

    /// The command, ready to be started. The console is QEMU's standard input and output.
    ///
    /// `-nic none` because QEMU otherwise adds a network card, whose option ROM is in a package
    /// that QEMU's own only recommends, and refuses to start without it.
    pub fn command(&self) -> Command {
        let mut properties = vec!["virt".to_owned(), "gic-version=3".to_owned()];
        properties.extend(self.properties.iter().cloned());
        let mut command = match core().filter(|_| self.one_core) {
            Some(core) => {
                let mut taskset = Command::new("taskset");
                taskset.args(["-c", &core, &program()]);
                taskset
            }
            None => Command::new(program()),
        };
        command
            .args(["-M", &properties.join(",")])
            .args(["-cpu", &self.cpu])
            .args(["-smp", &self.smp.to_string()])
            .args(["-m", &self.memory])
            .args(["-nographic", "-nic", "none"]);
        if !self.kernel.as_os_str().is_empty() {
            command.arg("-kernel").arg(&self.kernel);
        }
        if let Some(initrd) = &self.initrd {
            command.arg("-initrd").arg(initrd);
        }
        if !self.append.is_empty() {
            command.args(["-append", &self.append.join(" ")]);
        }
        command.args(&self.extra);
        command
    }
}

/// The word of the hypervisor's command line that has its monitor do these commands.
fn monitor(commands: &str) -> Result<String> {
    if commands.contains('"') {
        return Err(Error::Usage(format!(
            "MON={commands}: commands without double quotes were wanted"
        )));
    }
    Ok(format!("monitor=\"{commands}\""))
}

/// The emulator: `QEMU`, or the one on the path.
pub fn program() -> String {
    var("QEMU").unwrap_or_else(|| "qemu-system-aarch64".into())
}

/// A core that this process may run on, if taskset is there to choose it.
fn core() -> Option<String> {
    let found = Command::new("taskset").arg("--version").output();
    let status = fs::read_to_string("/proc/self/status").ok().filter(|_| found.is_ok())?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let last = allowed.trim().rsplit([',', '-']).next()?;
    Some(last.to_owned())
}

/// Splits a line into words as a shell does, quotes of both kinds included.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_what_is_quoted_together() {
        assert_eq!(words("  -d int  -D 'a b'"), ["-d", "int", "-D", "a b"]);
        assert_eq!(words("x\"y z\"w ''"), ["xy zw", ""]);
        assert!(words("   ").is_empty());
    }

    #[test]
    fn commands_for_the_monitor_are_one_word() {
        assert_eq!(monitor("vm list; stat").ok().as_deref(), Some("monitor=\"vm list; stat\""));
        assert!(monitor("say \"x\"").is_err());
    }

    #[test]
    fn a_machine_names_its_image_and_description() {
        let mut machine = Machine::new("m.img");
        machine.initrd = Some("v.dtb".into());
        machine.append = vec!["batch".into(), "log=info".into()];
        let command = machine.command();
        let line: Vec<_> = command.get_args().filter_map(|arg| arg.to_str()).collect();
        let line = line.join(" ");
        assert!(line.starts_with("-M virt,gic-version=3,virtualization=on -cpu cortex-a72 -smp 2"));
        assert!(line.ends_with("-kernel m.img -initrd v.dtb -append batch log=info"));
    }
}
