//! What a process is, told from its name and its arguments.

use darkport_model::ProcessRole;

/// What a name may belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// A process of this role.
    Role(ProcessRole),
    /// An interpreter: its arguments decide.
    Script,
    /// A kernel thread that serves the process of this number.
    VhostWorker(u32),
    /// Nothing that matters here.
    Nothing,
}

/// By `/proc/PID/comm`, which the kernel cuts to 15 characters. For a program that `#!` starts it is the script's name.
pub(crate) fn candidate(comm: &str) -> Candidate {
    if let Some(owner) = comm.strip_prefix("vhost-").and_then(|number| number.parse().ok()) {
        return Candidate::VhostWorker(owner);
    }
    match role_of_program(comm) {
        ProcessRole::Other if comm.starts_with("python") => Candidate::Script,
        ProcessRole::Other => Candidate::Nothing,
        role => Candidate::Role(role),
    }
}

/// The role of `python /usr/bin/nova-compute …`: that of the script, which is the first argument that is no option.
pub(crate) fn role_of_command(command: &[String]) -> ProcessRole {
    let mut programs = command.iter().filter(|argument| !argument.starts_with('-')).map(|argument| base_name(argument));
    match programs.next() {
        Some(interpreter) if interpreter.starts_with("python") => programs.next().map_or(ProcessRole::Other, role_of_program),
        Some(program) => role_of_program(program),
        None => ProcessRole::Other,
    }
}

fn role_of_program(name: &str) -> ProcessRole {
    match name {
        // Red Hat and old Debian name qemu so.
        "kvm" => ProcessRole::Qemu,
        "dnsmasq" => ProcessRole::Dnsmasq,
        "ksmd" => ProcessRole::Ksmd,
        "libvirtd" => ProcessRole::Libvirt,
        // libvirt's modular daemons: virtqemud, virtnetworkd, virtlogd, …
        _ if name.starts_with("virt") && name.ends_with('d') => ProcessRole::Libvirt,
        // Also `qemu:NAME` of libvirt's `set_process_name`; the tools end with what they do.
        _ if name.starts_with("qemu") && !["qemu-img", "qemu-ga", "qemu-nbd", "qemu-io"].contains(&name) => ProcessRole::Qemu,
        _ if name.starts_with("nova-") => ProcessRole::Nova,
        _ if name.starts_with("neutron-") => ProcessRole::Neutron,
        _ => ProcessRole::Other,
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_tell_roles() {
        for (comm, role) in [
            ("qemu-system-x86", ProcessRole::Qemu),
            ("kvm", ProcessRole::Qemu),
            ("qemu:instance-0", ProcessRole::Qemu),
            ("dnsmasq", ProcessRole::Dnsmasq),
            ("virtnetworkd", ProcessRole::Libvirt),
            ("nova-api-metada", ProcessRole::Nova),
            ("neutron-linuxbr", ProcessRole::Neutron),
            ("ksmd", ProcessRole::Ksmd),
        ] {
            assert_eq!(candidate(comm), Candidate::Role(role), "{comm}");
        }
        for comm in ["bash", "kvm-nx-lpage-re", "kvm-pit/4711", "qemu-ga", "vhost-", "vhost-user-blk", "supernova-x"] {
            assert_eq!(candidate(comm), Candidate::Nothing, "{comm}");
        }
        assert_eq!(candidate("vhost-4711"), Candidate::VhostWorker(4711));
        assert_eq!(candidate("python2.7"), Candidate::Script);
    }

    #[test]
    fn python_services_are_told_by_their_script() {
        let role = |line: &str| role_of_command(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(role("/usr/bin/python /usr/bin/nova-compute --config-file=/etc/nova/nova.conf"), ProcessRole::Nova);
        assert_eq!(role("/usr/bin/python3 -s /usr/bin/neutron-dhcp-agent"), ProcessRole::Neutron);
        assert_eq!(role("/usr/bin/python3 /usr/bin/grep nova-compute"), ProcessRole::Other);
        assert_eq!(role_of_command(&[]), ProcessRole::Other);
    }

    proptest! {
        #[test]
        fn no_text_panics(comm: String, command: Vec<String>) {
            let _ = (candidate(&comm), role_of_command(&command));
        }
    }
}
