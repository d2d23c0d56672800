//! Settings under `/proc/sys/net`, which shows the calling thread's namespace.
//!
//! A setting that is absent from the observation without a gap is absent from the host: `net/bridge/*` where `br_netfilter` is not
//! loaded, `net/netfilter/*` without connection tracking, `net/ipv6/*` without IPv6, `net/core/netdev_*` and the thresholds of the
//! neighbour table in any namespace but the first, `netdev_budget_usecs` before linux 4.12.

use std::collections::BTreeMap;

use darkport_model::{Link, Source, bounded};

use crate::look::{Absence, Look};

/// Settings that every kernel with IPv4 has.
const ALWAYS: &[&str] = &["net/ipv4/ip_forward"];

/// Settings of the host that may be absent.
const HOST: &[&str] = &[
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-arptables",
    "net/bridge/bridge-nf-filter-vlan-tagged",
    "net/ipv4/neigh/default/gc_thresh1",
    "net/ipv4/neigh/default/gc_thresh2",
    "net/ipv4/neigh/default/gc_thresh3",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_buckets",
    "net/core/netdev_max_backlog",
    "net/core/netdev_budget",
    "net/core/netdev_budget_usecs",
    "net/core/somaxconn",
];

/// Settings of each interface, and of `all` and `default`.
const IPV4: &[&str] = &["forwarding", "rp_filter", "arp_ignore", "arp_announce", "arp_filter", "proxy_arp", "log_martians"];
const IPV6: &[&str] = &["forwarding", "disable_ipv6", "accept_ra"];

pub(crate) fn read(look: &mut Look<'_>, links: &[&Link]) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for name in ALWAYS {
        read_one(look, &mut settings, (*name).to_owned(), Absence::Gap);
    }
    for name in HOST {
        read_one(look, &mut settings, (*name).to_owned(), Absence::Fact);
    }
    for setting in IPV4 {
        for interface in ["all", "default"] {
            read_one(look, &mut settings, format!("net/ipv4/conf/{interface}/{setting}"), Absence::Gap);
        }
    }
    for setting in IPV6 {
        read_one(look, &mut settings, format!("net/ipv6/conf/all/{setting}"), Absence::Fact);
    }
    // An interface may be gone by now: a fact that the links' second look tells.
    for link in links {
        for setting in IPV4 {
            read_one(look, &mut settings, format!("net/ipv4/conf/{}/{setting}", link.name), Absence::Fact);
        }
        for setting in IPV6 {
            read_one(look, &mut settings, format!("net/ipv6/conf/{}/{setting}", link.name), Absence::Fact);
        }
    }
    settings
}

fn read_one(look: &mut Look<'_>, settings: &mut BTreeMap<String, String>, name: String, absence: Absence) {
    let path = look.proc("sys").join(&name);
    match crate::look::read_bounded(&path, 4096) {
        Ok((text, _)) => {
            settings.insert(name, bounded(text.trim(), 256));
        }
        Err(error) if absence == Absence::Fact && error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => look.sum("sysctl", crate::look::from_io(Source::Sysctls, &path, &error)),
    }
}
