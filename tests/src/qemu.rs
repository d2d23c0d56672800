//! Boots the VM.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::cpio::Cpio;
use crate::error::{Doing, LabError, Result};
use crate::prepare::{Cache, tail};

/// How long a boot may take before an accelerator counts as unusable.
const BOOT_LIMIT: Duration = Duration::from_secs(12);
/// The same without one.
const TCG_BOOT_LIMIT: Duration = Duration::from_secs(120);
/// As root, unprivileged, without a disk or a network: all it has is its memory and a port to write lines to.
const MACHINE: &[&str] = &["-M", "pc", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none"];
/// Short grace periods, since taking networks apart does little but wait for them.
const KERNEL_LINE: &str = "console=ttyS0 panic=-1 loglevel=4 nokaslr mitigations=off no_timer_check net.ifnames=0 lsm= audit=0 \
                           cryptomgr.notests i8042.noaux i8042.nokbd rcupdate.rcu_expedited=1 rcutree.jiffies_till_first_fqs=1 rcutree.jiffies_till_next_fqs=1 \
                           rdinit=/usr/lib/lab/lab";

/// How big a VM is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Memory in MiB.
    pub(crate) memory: u32,
    /// Virtual processors.
    pub(crate) processors: usize,
}

/// On a busy machine the kernel's measure of an emulated TSC can be wrong by far, and the VM's clock with it.
const TCG_CLOCK: &str = " clocksource=hpet tsc=unstable";

/// A running VM.
pub(crate) struct Vm {
    child: Child,
    lines: Receiver<String>,
    console: PathBuf,
    first: Option<String>,
    /// `kvm` or `tcg`.
    pub(crate) accelerator: &'static str,
}

/// The program with its own loader and libraries, so that the machine's do not matter.
pub(crate) fn qemu_command(root: &Path) -> Command {
    let libraries = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/pulseaudio"]
        .map(|dir| root.join(dir).display().to_string())
        .join(":");
    let mut command = Command::new(root.join("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(libraries).arg(root.join("usr/bin/qemu-system-x86_64"));
    for dir in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
        command.arg("-L").arg(root.join(dir));
    }
    command.env("QEMU_MODULE_DIR", root.join("usr/lib/x86_64-linux-gnu/qemu"));
    command
}

/// Writes the first file system of a run: the base and, behind it, an archive with what changes.
pub(crate) fn initrd(cache: &Cache, to: &Path, files: &[(&str, u32, Vec<u8>)]) -> Result<()> {
    let doing = || "writing the VM's first file system".to_owned();
    fs::copy(cache.initramfs(), to).doing(doing)?;
    let out = fs::OpenOptions::new().append(true).open(to).doing(doing)?;
    let mut cpio = Cpio::new(std::io::BufWriter::new(out));
    for (name, mode, data) in files {
        cpio.file(name, *mode, data).doing(doing)?;
    }
    cpio.finish().doing(doing)?.flush().doing(doing)
}

impl Vm {
    /// Boots with KVM where that really works, else emulated.
    pub(crate) fn boot(cache: &Cache, initrd: &Path, size: Size) -> Result<Self> {
        if fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok() {
            // A device file proves nothing: a boot that reaches our own first process does.
            if let Ok(vm) = Self::start(cache, initrd, size, "kvm", BOOT_LIMIT) {
                return Ok(vm);
            }
        }
        Self::start(cache, initrd, size, "tcg", TCG_BOOT_LIMIT)
    }

    fn start(cache: &Cache, initrd: &Path, size: Size, accelerator: &'static str, limit: Duration) -> Result<Self> {
        let console = initrd.with_extension(format!("{accelerator}.console"));
        let mut command = qemu_command(&cache.host_root());
        let accel = if accelerator == "tcg" { "tcg,thread=multi" } else { accelerator };
        command
            .args(MACHINE)
            .args(["-accel", accel, "-m", &size.memory.to_string(), "-smp", &size.processors.to_string()])
            .arg("-kernel")
            .arg(cache.kernel())
            .arg("-initrd")
            .arg(initrd)
            .arg("-append")
            .arg(format!("{KERNEL_LINE}{}", if accelerator == "tcg" { TCG_CLOCK } else { "" }))
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(["-chardev", "stdio,id=out,signal=off", "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=out,nr=1"])
            // Open for as long as it runs: an end of input there closes the port for output too.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(console.with_extension("stderr")).doing(|| "making a log".into())?);
        if accelerator == "kvm" {
            command.args(["-cpu", "host"]);
        }
        let mut child = command.spawn().doing(|| "starting QEMU".into())?;
        let (send, lines) = channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(out);
                let mut line = Vec::new();
                while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    if send.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                        break;
                    }
                    line.clear();
                }
            });
        }
        let mut vm = Self { child, lines, console, first: None, accelerator };
        let first = vm.line(limit)?;
        vm.first = Some(first);
        Ok(vm)
    }

    /// The next line from the agent.
    pub(crate) fn line(&mut self, limit: Duration) -> Result<String> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        let start = Instant::now();
        self.lines.recv_timeout(limit).map_err(|error| {
            let what = match error {
                RecvTimeoutError::Timeout => format!("the VM said nothing for {:.0} s", start.elapsed().as_secs_f64()),
                RecvTimeoutError::Disconnected => "the VM ended early".into(),
            };
            let console = fs::read(&self.console).unwrap_or_default();
            let qemu = fs::read_to_string(self.console.with_extension("stderr")).unwrap_or_default();
            LabError::Broken(format!("{what}; its console ends: {}\n{}", tail(&String::from_utf8_lossy(&console), 2000), tail(&qemu, 500)))
        })
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
