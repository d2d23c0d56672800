//! Rules that drop frames on bridges and interfaces, from `nft` and from the legacy `ebtables`.
//!
//! Both load their kernel modules when they are asked, which would change the host: so they are asked only where the modules are there.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use darkport_model::{DropRule, Gap, Sampled, Source, bounded};

use crate::look::Look;
use crate::program::run;

/// How long a program may take; thousands of rules are listed in a tenth of it.
const PATIENCE: Duration = Duration::from_secs(2);
const BYTES: u64 = 8 << 20;
/// Rules that are kept: a thousand instances with a few each.
const RULES: usize = 8192;
const TEXT: usize = 300;

pub(crate) fn read(look: &mut Look<'_>) -> Vec<DropRule> {
    if !look.roots.are_live() {
        return Vec::new();
    }
    // A kernel that has no modules can load none.
    let loaded = |name: &str| look.sys(format!("module/{name}")).exists() || !look.proc("modules").exists();
    let (nft, legacy) = (loaded("nf_tables"), look.sys("module/ebtables").exists());
    let mut rules = Vec::new();
    if nft {
        rules.extend(listed(look, "nft", &["-n", "list", "ruleset"], parse_nft));
    }
    for table in ["filter", "nat", "broute"].into_iter().filter(|_| legacy) {
        let listing = |text: &str| parse_ebtables(text);
        // Where the usual program is the one for nftables, the old one has a name of its own.
        let found = match run("ebtables-legacy", &["-t", table, "-L", "--Lc"], PATIENCE, BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => listed(look, "ebtables", &["-t", table, "-L", "--Lc"], listing),
            Err(error) => {
                look.gap(Gap::from_io(Source::Rules, "ebtables-legacy", &error));
                Vec::new()
            }
            Ok(text) => listing(&text),
        };
        rules.extend(found);
    }
    rules.truncate(RULES);
    rules
}

fn listed(look: &mut Look<'_>, program: &str, arguments: &[&str], parse: impl Fn(&str) -> Vec<DropRule>) -> Vec<DropRule> {
    match run(program, arguments, PATIENCE, BYTES) {
        Ok(text) => parse(&text),
        Err(error) => {
            look.gap(Gap::from_io(Source::Rules, program, &error));
            Vec::new()
        }
    }
}

/// The counters once more. Of rules that read alike in one chain the first is the first again.
pub(crate) fn read_again(look: &mut Look<'_>, rules: &mut [DropRule]) {
    if rules.is_empty() {
        return;
    }
    // In reverse, so that of those that read alike the first is taken first.
    let mut again: HashMap<_, Vec<u64>> = HashMap::new();
    for now in read(look).into_iter().rev() {
        if let Some(packets) = now.packets {
            again.entry((now.family, now.table, now.chain, now.text)).or_default().push(packets.first);
        }
    }
    for rule in rules {
        let key = (rule.family.clone(), rule.table.clone(), rule.chain.clone(), rule.text.clone());
        if let (Some(packets), Some(now)) = (&mut rule.packets, again.get_mut(&key).and_then(Vec::pop)) {
            packets.last = Some(now);
        }
    }
}

/// `nft list ruleset`: rules of bridges and interfaces that end in `drop` or `reject`, and chains that drop what no rule accepts.
pub(crate) fn parse_nft(text: &str) -> Vec<DropRule> {
    let mut rules = Vec::new();
    let (mut family, mut table) = ("", "");
    // Blocks that are open, and the chain's name where one is.
    let mut open: Vec<Option<&str>> = Vec::new();
    let mut device = "";
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().take(4).collect();
        if line.ends_with('{') {
            match words.as_slice() {
                ["table", kind, name, ..] => (family, table) = (kind, name),
                ["chain", ..] => device = "",
                _ => {}
            }
            open.push((words.first() == Some(&"chain")).then(|| words.get(1).copied().unwrap_or_default()));
            continue;
        }
        if line == "}" {
            open.pop();
            continue;
        }
        let (Some(Some(chain)), "bridge" | "netdev") = (open.last(), family) else { continue };
        if let Some(hook) = line.strip_prefix("type ") {
            device = hook.split_once("device ").and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or("");
            if line.contains("policy drop") {
                rules.push(DropRule::new(family, table, *chain, on(device, "policy drop")));
            }
            continue;
        }
        let (rule, packets) = without_counter(line);
        let verdict = rule.split(" comment \"").next().unwrap_or_default();
        if verdict.split_whitespace().next_back() == Some("drop") || verdict.contains("reject") {
            let mut rule = DropRule::new(family, table, *chain, on(device, &rule));
            rule.packets = packets.map(Sampled::once);
            rules.push(rule);
        }
        if rules.len() >= RULES {
            break;
        }
    }
    rules
}

fn on(device: &str, rule: &str) -> String {
    let text = if device.is_empty() { rule.to_owned() } else { format!("{rule} (at {device})") };
    bounded(&text, TEXT)
}

/// A rule without `counter packets N bytes N`, and N.
fn without_counter(line: &str) -> (String, Option<u64>) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.windows(5).position(|five| matches!(five, ["counter", "packets", _, "bytes", _]));
    let Some(at) = at else { return (line.to_owned(), None) };
    let packets = words.get(at + 2).and_then(|number| number.parse().ok());
    let rest: Vec<&str> = words.iter().take(at).chain(words.iter().skip(at + 5)).copied().collect();
    (rest.join(" "), packets)
}

/// `ebtables -L --Lc`: `-i vnet2 -j DROP , pcnt = 3 -- bcnt = 84`.
pub(crate) fn parse_ebtables(text: &str) -> Vec<DropRule> {
    let mut rules = Vec::new();
    let (mut table, mut chain) = ("", "");
    for line in text.lines().map(str::trim).take(1 << 20) {
        if let Some(name) = line.strip_prefix("Bridge table: ") {
            table = name;
        } else if let Some(rest) = line.strip_prefix("Bridge chain: ") {
            chain = rest.split(',').next().unwrap_or_default();
            if rest.ends_with("policy: DROP") {
                rules.push(DropRule::new("bridge", table, chain, "policy DROP"));
            }
        } else {
            let (rule, counted) = line.split_once(" , ").unwrap_or((line, ""));
            if rule.ends_with("-j DROP") && rules.len() < RULES {
                let mut found = DropRule::new("bridge", table, chain, bounded(rule, TEXT));
                let number = counted.strip_prefix("pcnt = ").and_then(|rest| rest.split_whitespace().next()?.parse().ok());
                found.packets = number.map(Sampled::once);
                rules.push(found);
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(rules: &[DropRule]) -> Vec<String> {
        let count = |rule: &DropRule| rule.packets.as_ref().map_or("-".to_owned(), |packets| packets.first.to_string());
        rules.iter().map(|rule| format!("{} {} {}: {} [{}]", rule.family, rule.table, rule.chain, rule.text, count(rule))).collect()
    }

    #[test]
    fn what_nft_prints() {
        let text = r#"
table bridge x {
	set bad {
		type ether_addr
		elements = { fa:16:3e:00:00:01,
			     fa:16:3e:00:00:02 }
	}

	chain y {
		type filter hook postrouting priority 0; policy drop;
		oifname "vnet1" counter packets 12 bytes 504 drop
		ether saddr @bad drop comment "bad accept"
		counter packets 3 bytes 84 accept
		ip protocol udp reject
	}
}
table ip filter {
	chain FORWARD {
		counter packets 9 bytes 9 drop
	}
}
table netdev n {
	chain in {
		type filter hook ingress device "eth1" priority 0; policy accept;
		udp dport 53 drop
	}
}"#;
        assert_eq!(
            told(&parse_nft(text)),
            [
                "bridge x y: policy drop [-]",
                "bridge x y: oifname \"vnet1\" drop [12]",
                "bridge x y: ether saddr @bad drop comment \"bad accept\" [-]",
                "bridge x y: ip protocol udp reject [-]",
                "netdev n in: udp dport 53 drop (at \"eth1\") [-]",
            ]
        );
    }

    #[test]
    fn what_the_old_ebtables_prints() {
        let text = "Bridge table: nat\n\nBridge chain: PREROUTING, entries: 2, policy: ACCEPT\n-i vnet2 -j libvirt-I-vnet2, pcnt = 4 -- bcnt = 9\n\
                    Bridge chain: libvirt-I-vnet2, entries: 1, policy: DROP\n-s ! fa:16:3e:00:00:01 -j DROP , pcnt = 7 -- bcnt = 196\n";
        assert_eq!(
            told(&parse_ebtables(text)),
            ["bridge nat libvirt-I-vnet2: policy DROP [-]", "bridge nat libvirt-I-vnet2: -s ! fa:16:3e:00:00:01 -j DROP [7]"]
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(table bridge x \\{|chain y \\{|\\}|type filter|drop|counter packets [0-9]{0,30} bytes 1|\n| |\\PC){0,80}") {
            let _ = (parse_nft(&text), parse_ebtables(&text));
        }
    }
}
