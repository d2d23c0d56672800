//! Fetches QEMU, a Debian kernel and the guest's tools by `apt-get`, into a directory of our own: no root, nothing
//! installed, and the whole dependency closure whatever the machine has installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use crate::error::{Doing, LabError, Result};
use crate::image;

/// Raise it when the list of packages or the image's make-up changes: an older cache is then made anew.
const STAMP: &str = "lab-image 1\n";
/// What runs the VM.
const HOST_PACKAGES: &[&str] = &["qemu-system-x86"];
/// Debian's kernel for virtual machines: 8021q, vlan filtering, bonding, netem, nftables, all as modules.
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
/// What the hosts inside have to hand.
const GUEST_PACKAGES: &[&str] = &[
    "dash",
    "busybox-static",
    "iproute2",
    "bridge-utils",
    "ethtool",
    "iptables",
    "nftables",
    "ebtables",
    "conntrack",
    "dnsmasq-base",
    "kmod",
    "iputils-ping",
    "iputils-arping",
    "udhcpc",
];

/// Where everything that was fetched lies.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    /// The cache's own directory.
    pub(crate) dir: PathBuf,
}

impl Cache {
    /// The cache at a directory, or beneath cargo's target directory.
    pub(crate) fn at(dir: Option<&Path>) -> Result<Self> {
        let dir = dir.map_or_else(|| target_dir().join("lab-cache"), Path::to_owned);
        // What apt is told must not depend on where it looks from.
        std::path::absolute(&dir).doing(|| format!("finding {}", dir.display())).map(|dir| Self { dir })
    }

    /// The unpacked packages of the machine's side (QEMU).
    pub(crate) fn host_root(&self) -> PathBuf {
        self.dir.join("host")
    }

    /// The file tree of the hosts inside.
    pub(crate) fn stage(&self) -> PathBuf {
        self.dir.join("stage")
    }

    /// The archive of that tree.
    pub(crate) fn initramfs(&self) -> PathBuf {
        self.dir.join("base.cpio")
    }

    /// The kernel to boot.
    pub(crate) fn kernel(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    fn ready(&self) -> PathBuf {
        self.dir.join("ready")
    }

    fn is_ready(&self) -> bool {
        fs::read_to_string(self.ready()).is_ok_and(|stamp| stamp == STAMP)
    }

    /// Makes the cache if it is missing or of another make-up.
    pub(crate) fn prepare(&self) -> Result<()> {
        // Written last: where it stands all is there, even if it belongs to somebody else.
        if self.is_ready() {
            return Ok(());
        }
        fs::create_dir_all(&self.dir).doing(|| format!("making {}", self.dir.display()))?;
        let lock = fs::File::create(self.dir.join("lock")).doing(|| "making the cache's lock".into())?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno).doing(|| "locking the cache".into())?;
        if self.is_ready() {
            return Ok(());
        }
        let _ = fs::remove_file(self.ready());
        eprintln!("lab: fetching QEMU, a kernel and guest tools into {} (once)", self.dir.display());
        let apt = Apt::new(&self.dir.join("apt"))?;
        apt.update_if_needed()?;
        for (packages, root) in [(HOST_PACKAGES, "host"), (&[KERNEL_PACKAGE][..], "kernel"), (GUEST_PACKAGES, "guest")] {
            let root = self.dir.join(root);
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).doing(|| format!("making {}", root.display()))?;
            for archive in apt.fetch(packages)? {
                if wanted(&archive, packages == [KERNEL_PACKAGE]) {
                    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&root))?;
                }
            }
        }
        image::build(self)?;
        fs::write(self.ready(), STAMP).doing(|| "writing the cache's stamp".into())
    }
}

/// Cargo's target directory.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join("target"), PathBuf::from)
}

/// Packages that a closure drags in and that nothing here runs.
fn wanted(archive: &Path, kernel: bool) -> bool {
    let name = archive.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let package = name.split('_').next().unwrap_or_default();
    if kernel {
        return package.starts_with("linux-image-");
    }
    !matches!(
        package,
        "debconf"
            | "perl-base"
            | "passwd"
            | "adduser"
            | "dpkg"
            | "tar"
            | "debianutils"
            | "coreutils"
            | "iso-codes"
            | "udev"
            | "initramfs-tools"
            | "initramfs-tools-core"
            | "linux-base"
            | "login"
            | "mount"
            | "gcc-12-base"
    )
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().doing(|| format!("starting {shown}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stdout));
    Err(LabError::Command { command: shown, status: output.status.to_string(), output: tail(&text, 2000) })
}

/// The last bytes of a text, cut at a character.
pub(crate) fn tail(text: &str, bytes: usize) -> String {
    let from = text.len().saturating_sub(bytes);
    let from = (from..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    text.get(from..).unwrap_or_default().trim().to_owned()
}

/// `apt-get` with all its state in a directory of ours.
struct Apt {
    dir: PathBuf,
}

impl Apt {
    fn new(dir: &Path) -> Result<Self> {
        for sub in ["lists/partial", "cache/archives/partial", "state"] {
            fs::create_dir_all(dir.join(sub)).doing(|| format!("making {}", dir.display()))?;
        }
        // An empty status file: nothing counts as installed, so that every dependency is fetched.
        fs::write(dir.join("status"), "").doing(|| "writing apt's status file".into())?;
        Ok(Self { dir: dir.to_owned() })
    }

    fn command(&self) -> Command {
        let dir = self.dir.display();
        let mut command = Command::new("apt-get");
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y"]);
        for option in [
            format!("Dir::State={dir}/state"),
            format!("Dir::State::Lists={dir}/lists"),
            format!("Dir::State::status={dir}/status"),
            format!("Dir::Cache={dir}/cache"),
            "Debug::NoLocking=1".into(),
            "APT::Sandbox::User=root".into(),
            "APT::Install-Recommends=0".into(),
            "Acquire::Languages=none".into(),
            "Acquire::Retries=3".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }

    fn update_if_needed(&self) -> Result<()> {
        let lists = self.dir.join("lists");
        let have = fs::read_dir(&lists)
            .doing(|| format!("reading {}", lists.display()))?
            .filter_map(std::result::Result::ok)
            .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
        if have { Ok(()) } else { run(self.command().arg("update")).map(drop) }
    }

    /// Downloads the packages with all that they depend on.
    fn fetch(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let download = || run(self.command().args(["install", "--download-only"]).args(packages));
        if download().is_err() {
            // Lists that have aged name files that the mirror no longer has.
            run(self.command().arg("update"))?;
            download()?;
        }
        let plan = run(self.command().args(["install", "--simulate"]).args(packages))?;
        let archives: BTreeSet<_> = plan.lines().filter_map(archive_name).collect();
        Ok(archives.into_iter().map(|name| self.dir.join("cache/archives").join(name)).collect())
    }
}

/// The archive's file name for a line of the plan: `Inst libc6 (2.36-9 Debian:12.5/stable [amd64])`.
fn archive_name(line: &str) -> Option<String> {
    let rest = line.strip_prefix("Inst ")?;
    let (package, rest) = rest.split_once(" (")?;
    // What stands behind the bracket are packages that wait for this one.
    let (version, rest) = rest.split_once(')')?.0.split_once(' ')?;
    let architecture = rest.rsplit_once('[')?.1.split(']').next()?;
    let package = package.split_whitespace().next()?;
    Some(format!("{package}_{}_{architecture}.deb", version.replace(':', "%3a")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_line_names_its_archive() {
        assert_eq!(
            archive_name("Inst libcap2 (1:2.66-4+deb12u3+b1 Debian:12.12/oldstable [amd64]) []").unwrap(),
            "libcap2_1%3a2.66-4+deb12u3+b1_amd64.deb"
        );
        assert_eq!(archive_name("Conf libcap2 (1:2.66-4 Debian [amd64])"), None);
    }

    #[test]
    fn tail_never_splits_a_character() {
        assert_eq!(tail("ä€x", 2), "x");
        assert_eq!(tail("abc", 10), "abc");
    }
}
