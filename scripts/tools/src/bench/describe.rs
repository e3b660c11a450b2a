//! VM descriptions that are made for a measurement.

use crate::{Error, Result, build, root};
use std::{fmt::Write, fs, path::PathBuf};

/// A VM whose kernel is one of our guests.
#[derive(Clone, Debug)]
pub struct Vm {
    /// Its name.
    pub name: String,
    /// The guest: `target/guests/<kernel>.img`.
    pub kernel: &'static str,
    /// Its vCPUs.
    pub cpus: usize,
    /// MiB of RAM.
    pub memory: u64,
    /// Its boot arguments.
    pub bootargs: String,
}

impl Vm {
    /// One with a single vCPU and as little memory as our guests need.
    pub fn small(name: impl Into<String>, kernel: &'static str, bootargs: &str) -> Self {
        Self { name: name.into(), kernel, cpus: 1, memory: 4, bootargs: bootargs.into() }
    }
}

/// Compiles a description of these VMs to `target/vms/<name>.dtb`.
pub fn compile(name: &str, vms: &[Vm]) -> Result<PathBuf> {
    let directory = root().join("target/vms");
    fs::create_dir_all(&directory).map_err(Error::file(&directory))?;
    let source = directory.join(format!("{name}.dts"));
    fs::write(&source, text(vms)).map_err(Error::file(&source))?;
    build::description(&source)
}

fn text(vms: &[Vm]) -> String {
    let mut kernels: Vec<&str> = vms.iter().map(|vm| vm.kernel).collect();
    kernels.sort_unstable();
    kernels.dedup();
    let mut text = String::from("/dts-v1/;\n/ {\n\tcompatible = \"mezzanine,vms\";\n\timages {\n");
    for kernel in kernels {
        let _ = writeln!(
            text,
            "\t\t{kernel}: {kernel} {{ data = /incbin/(\"../guests/{kernel}.img\"); }};"
        );
    }
    text += "\t};\n";
    for Vm { name, kernel, cpus, memory, bootargs } in vms {
        let _ = writeln!(
            text,
            "\t{name} {{\n\t\tcompatible = \"mezzanine,vm\";\n\t\tcpus = <{cpus}>;\n\
             \t\tmemory-mib = <{memory}>;\n\t\tkernel = <&{kernel}>;\n\
             \t\tbootargs = \"{bootargs}\";\n\t}};"
        );
    }
    text + "};\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_taken_in_once() {
        let text = text(&[Vm::small("a", "spin", ""), Vm::small("b", "spin", "ms=1")]);
        assert_eq!(text.matches("incbin").count(), 1);
        assert_eq!(text.matches("kernel = <&spin>").count(), 2);
        assert!(text.contains("bootargs = \"ms=1\""));
    }
}
