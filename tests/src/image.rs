//! Makes the file tree of the hosts inside the lab, and the archive that the VM boots from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::BufWriter;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpio::Cpio;
use crate::error::{Doing, LabError, Result};
use crate::prepare::{Cache, run};

/// Directories of the unpacked packages that hold nothing to run.
const LEFT_OUT: &[&str] =
    &["usr/share", "usr/lib/x86_64-linux-gnu/gconv", "usr/include", "usr/games", "var", "usr/lib/systemd", "lib/systemd", "lib/udev"];
/// Empty directories to mount and write on.
const DIRS: &[&str] = &[
    "bin",
    "sbin",
    "usr/bin",
    "usr/sbin",
    "usr/local/bin",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "root",
    "etc/libvirt",
    "etc/nova",
    "etc/network",
    "var/lib/nova",
    "var/lib/libvirt",
    "var/log",
    "var/run",
    "lab",
    "usr/lib/lab",
    "etc/modprobe.d",
    "mnt",
];
/// busybox's own versions of these would hide the real programs.
const NOT_FROM_BUSYBOX: &[&str] =
    &["ip", "tc", "bridge", "brctl", "ping", "arping", "modprobe", "insmod", "rmmod", "lsmod", "depmod", "modinfo", "sh"];
/// Subsystems of `kernel/net` that no scenario can need.
const MODULES_LEFT_OUT: &[&str] = &[
    "/sunrpc/",
    "/sctp/",
    "/tipc/",
    "/rxrpc/",
    "/ceph/",
    "/dccp/",
    "/smc/",
    "/rds/",
    "/mptcp/",
    "/mpls/",
    "/ipvs/",
    "/l2tp/",
    "/tls/",
    "/wireless/",
    "/kcm/",
    "/vmw_vsock/",
    "/batman-adv/",
];
/// Modules from elsewhere in the kernel's tree.
const MODULES: &[&str] = &[
    "veth",
    "bonding",
    "dummy",
    "tun",
    "tap",
    "macvlan",
    "macvtap",
    "ipvlan",
    "vxlan",
    "geneve",
    "ifb",
    "team",
    "team_mode_activebackup",
    "nlmon",
    "vrf",
    "virtio_net",
    "virtio_pci",
    "virtio_console",
    "vmxnet3",
    "crc32c_generic",
    "libcrc32c",
    "netconsole",
];

/// Builds tree and archive from the unpacked packages.
pub(crate) fn build(cache: &Cache) -> Result<()> {
    let stage = cache.stage();
    let _ = fs::remove_dir_all(&stage);
    copy_tree(&cache.dir.join("guest"), &stage)?;
    for dir in DIRS {
        fs::create_dir_all(stage.join(dir)).doing(|| format!("making {dir} in the image"))?;
    }
    busybox(&stage)?;
    configuration(&stage)?;
    let release = modules(&cache.dir.join("kernel"), &stage)?;
    depmod(cache, &stage, &release)?;
    let kernel = cache.dir.join(format!("kernel/boot/vmlinuz-{release}"));
    fs::copy(&kernel, cache.kernel()).doing(|| format!("copying {}", kernel.display()))?;
    let out = fs::File::create(cache.initramfs()).doing(|| "making the archive".into())?;
    let mut cpio = Cpio::new(BufWriter::new(out));
    cpio.tree(&stage)
        .and_then(|()| cpio.char_device("dev/console", 0o600, (5, 1)))
        .and_then(|()| cpio.finish())
        .doing(|| "writing the archive".into())?;
    Ok(())
}

fn left_out(relative: &Path) -> bool {
    LEFT_OUT.iter().any(|dir| relative.starts_with(dir)) || relative.to_string_lossy().contains("/perl")
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let mut todo = vec![PathBuf::new()];
    while let Some(relative) = todo.pop() {
        let dir = from.join(&relative);
        fs::create_dir_all(to.join(&relative)).doing(|| format!("making {}", relative.display()))?;
        for entry in fs::read_dir(&dir).doing(|| format!("reading {}", dir.display()))? {
            let entry = entry.doing(|| format!("reading {}", dir.display()))?;
            let name = relative.join(entry.file_name());
            let kind = entry.file_type().doing(|| format!("looking at {}", name.display()))?;
            let target = to.join(&name);
            if left_out(&name) {
            } else if kind.is_symlink() {
                fs::read_link(entry.path()).and_then(|link| symlink(link, &target)).doing(|| format!("linking {}", name.display()))?;
            } else if kind.is_dir() {
                todo.push(name);
            } else if kind.is_file() {
                fs::copy(entry.path(), &target).doing(|| format!("copying {}", name.display()))?;
            }
        }
    }
    Ok(())
}

fn busybox(stage: &Path) -> Result<()> {
    let applets = run(Command::new(stage.join("bin/busybox")).arg("--list"))?;
    for applet in applets.lines().filter(|a| !NOT_FROM_BUSYBOX.contains(a)) {
        if !["bin", "sbin", "usr/bin", "usr/sbin"].iter().any(|dir| stage.join(dir).join(applet).symlink_metadata().is_ok()) {
            symlink("/bin/busybox", stage.join("bin").join(applet)).doing(|| format!("linking {applet}"))?;
        }
    }
    // dash, not busybox's own shell, which would run its applets in place of the real programs.
    let mut links = vec![("bin/sh".to_owned(), "dash".to_owned())];
    for tool in ["iptables", "ip6tables"] {
        for suffix in ["", "-restore", "-save"] {
            links.push((format!("usr/sbin/{tool}{suffix}"), "xtables-nft-multi".into()));
        }
    }
    for tool in ["ebtables", "ebtables-save", "ebtables-restore", "arptables"] {
        links.push((format!("usr/sbin/{tool}"), "xtables-nft-multi".into()));
    }
    for tool in ["modprobe", "insmod", "rmmod", "lsmod", "depmod", "modinfo"] {
        links.push((format!("sbin/{tool}"), "/bin/kmod".into()));
    }
    for (link, target) in links {
        if stage.join(&link).symlink_metadata().is_err() {
            symlink(&target, stage.join(&link)).doing(|| format!("linking {link}"))?;
        }
    }
    Ok(())
}

fn configuration(stage: &Path) -> Result<()> {
    for (path, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\ndnsmasq:x:101:65534::/:/bin/false\n"),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\ndip:x:30:\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\n"),
        ("etc/hosts", "127.0.0.1 localhost\n"),
        // Without it the bonding module makes a bond0 of its own.
        ("etc/modprobe.d/lab.conf", "options bonding max_bonds=0\noptions dummy numdummies=0\noptions ifb numifbs=0\n"),
    ] {
        fs::write(stage.join(path), text).doing(|| format!("writing {path}"))?;
    }
    Ok(())
}

/// Copies the modules that a scenario may need with all that they depend on; returns the kernel's release.
fn modules(kernel: &Path, stage: &Path) -> Result<String> {
    let base = kernel.join("lib/modules");
    let release = fs::read_dir(&base)
        .doing(|| format!("reading {}", base.display()))?
        .filter_map(std::result::Result::ok)
        .find_map(|entry| entry.file_name().into_string().ok())
        .ok_or_else(|| LabError::Broken("the kernel's package holds no modules".into()))?;
    let root = base.join(&release);
    let mut all = BTreeMap::new();
    find_modules(&root, &mut all)?;
    let mut todo: Vec<String> = all
        .iter()
        .filter(|(name, path)| {
            let path = path.to_string_lossy();
            MODULES.contains(&name.as_str()) || (path.contains("/kernel/net/") && !MODULES_LEFT_OUT.iter().any(|part| path.contains(part)))
        })
        .map(|(name, _)| name.clone())
        .collect();
    let mut done = BTreeSet::new();
    while let Some(name) = todo.pop() {
        let Some(path) = all.get(&name) else { continue };
        if !done.insert(name) {
            continue;
        }
        let bytes = fs::read(path).doing(|| format!("reading {}", path.display()))?;
        todo.extend(depends(&bytes));
        let target = stage.join("lib/modules").join(&release).join(path.strip_prefix(&root).unwrap_or(path));
        fs::create_dir_all(target.parent().unwrap_or(stage)).doing(|| format!("making a directory for {}", target.display()))?;
        fs::write(&target, bytes).doing(|| format!("writing {}", target.display()))?;
    }
    for list in ["modules.builtin", "modules.order", "modules.builtin.modinfo"] {
        if root.join(list).exists() {
            fs::copy(root.join(list), stage.join("lib/modules").join(&release).join(list)).doing(|| format!("copying {list}"))?;
        }
    }
    Ok(release)
}

fn find_modules(dir: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).doing(|| format!("reading {}", dir.display()))? {
        let path = entry.doing(|| format!("reading {}", dir.display()))?.path();
        if path.is_dir() {
            find_modules(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "ko") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_");
            found.insert(name, path);
        }
    }
    Ok(())
}

/// The names after `depends=` in a module's information section.
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|w| w == key) else { return Vec::new() };
    let rest = module.get(at + key.len()..).unwrap_or_default();
    let value = rest.split(|&b| b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).split(',').filter(|n| !n.is_empty()).map(|n| n.replace('-', "_")).collect()
}

fn depmod(cache: &Cache, stage: &Path, release: &str) -> Result<()> {
    let kmod = stage.join("bin/kmod");
    let depmod = cache.dir.join("depmod");
    let _ = fs::remove_file(&depmod);
    symlink(&kmod, &depmod).doing(|| "linking depmod".into())?;
    // By its own loader, so that the machine's C library does not matter.
    let result = run(Command::new(stage.join("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"))
        .arg("--argv0")
        .arg("depmod")
        .arg("--library-path")
        .arg(format!("{0}/lib/x86_64-linux-gnu:{0}/usr/lib/x86_64-linux-gnu", stage.display()))
        .arg(&depmod)
        .arg("-b")
        .arg(stage)
        .arg(release));
    result.map(drop)
}

/// The real guest's first process: an address from the kernel's command line, then a ping now and then.
const GUEST_INIT: &str = r"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
for name in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net; do
  insmod /$name.ko
done
for word in $(cat /proc/cmdline); do
  case $word in
    lab.ip=*) ip=${word#lab.ip=} ;;
    lab.gw=*) gateway=${word#lab.gw=} ;;
  esac
done
ip link set lo up
ip link set eth0 up
ip addr add $ip dev eth0
ip route add default via $gateway
while :; do
  ping -c 1 -W 1 $gateway > /dev/null && echo answered || echo lost
  sleep 1
done
";

/// Writes the file system of a real guest: busybox and the drivers of its network card.
pub(crate) fn guest(cache: &Cache, to: &Path) -> Result<()> {
    let doing = || "writing the guest's file system".to_owned();
    let stage = cache.stage();
    let mut modules = BTreeMap::new();
    find_modules(&stage.join("lib/modules"), &mut modules)?;
    let mut cpio = Cpio::new(BufWriter::new(fs::File::create(to).doing(doing)?));
    for dir in ["bin", "proc", "dev"] {
        cpio.dir(dir).doing(doing)?;
    }
    cpio.char_device("dev/console", 0o600, (5, 1)).doing(doing)?;
    cpio.file("bin/busybox", 0o755, &fs::read(stage.join("bin/busybox")).doing(doing)?).doing(doing)?;
    cpio.file("init", 0o755, GUEST_INIT.as_bytes()).doing(doing)?;
    for (name, path) in modules.iter().filter(|(name, _)| name.starts_with("virtio") || name.ends_with("failover")) {
        cpio.file(&format!("{name}.ko"), 0o644, &fs::read(path).doing(doing)?).doing(doing)?;
    }
    cpio.finish().doing(doing).map(drop)
}

/// Makes a file executable.
pub(crate) fn executable(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).doing(|| format!("making {} executable", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_from_the_information_section() {
        assert_eq!(depends(b"x\0license=GPL\0depends=stp,llc\0intree=Y\0"), ["stp", "llc"]);
        assert!(depends(b"x\0depends=\0").is_empty());
        assert!(depends(b"nothing").is_empty());
    }
}
