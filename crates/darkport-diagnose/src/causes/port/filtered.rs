//! Rules of ebtables and nftables on the bridge that drop what was seen on one side of them and not on the other.

use std::collections::HashSet;

use darkport_model::{Certainty, DropRule, Finding, Fix, HopKind};

use crate::check::Definition;
use crate::scene::Scene;
use crate::unknown;

/// Frames that a rule fitted within the window, beside which others may fit it too.
const MOVED: u64 = 3;

/// A loss between two devices of this host, and the rule that explains it.
pub(super) struct Filtered<'a> {
    loss: Finding,
    rule: &'a DropRule,
    moved: Option<u64>,
    /// Whether the rule names a device or an address of the loss.
    names: bool,
}

/// The losses that a rule explains.
pub(super) fn filtered<'a>(scene: &Scene<'a>) -> Vec<Filtered<'a>> {
    let losses = unknown::losses(scene, &HashSet::new());
    let here = |loss: &Finding| {
        let inside = matches!(
            loss.hop,
            HopKind::Tap | HopKind::TapPort | HopKind::Bridge | HopKind::UplinkPort | HopKind::VlanDevice | HopKind::Nic
        );
        inside && loss.certainty > Certainty::Possible
    };
    losses.into_iter().filter(here).filter_map(|loss| explained(scene, &loss)).collect()
}

fn explained<'a>(scene: &Scene<'a>, loss: &Finding) -> Option<Filtered<'a>> {
    let known = words_of(scene, loss);
    let weigh = |rule: &'a DropRule| {
        let moved = rule.packets.as_ref().and_then(|packets| packets.rise(|count| *count));
        let said: Vec<&str> = words(&rule.text).collect();
        let names = known.iter().any(|word| said.contains(&word.as_str()) || rule.chain.ends_with(&format!("-{word}")));
        // One that counts and did not fit anything meanwhile is not it; nor one for somebody else's device.
        let still = moved.is_some_and(|moved| moved < MOVED);
        let others = !names && said.iter().any(|word| scene.wiring.named(word).is_some());
        let fits = !still && !others && may_fit_arp(&said) && (names || moved.is_some());
        fits.then(|| ((names, moved.is_some(), moved), Filtered { loss: loss.clone(), rule, moved, names }))
    };
    let best = scene.seen.host.drop_rules.iter().filter_map(weigh).max_by_key(|(weight, _)| *weight);
    best.map(|(_, found)| found)
}

/// Whether a rule leaves ARP in, which is what losses are seen by.
fn may_fit_arp(words: &[&str]) -> bool {
    const OTHERS: &[&str] = &["ip", "ip6", "tcp", "udp", "icmp", "icmpv6", "0x0800", "0x86dd", "IPv4", "IPv6", "ip4"];
    !words.iter().any(|word| OTHERS.contains(word))
}

/// The devices and addresses that a rule for this loss would name.
fn words_of(scene: &Scene<'_>, loss: &Finding) -> HashSet<String> {
    let mut known = HashSet::from([loss.at.clone()]);
    let port = |link: &darkport_model::Link| link.name == loss.at;
    for segment in
        scene.segments.iter().filter(|segment| segment.ways().any(|chain| chain.all().any(port)) || segment.bridge.name == loss.at)
    {
        known.extend(segment.ways().flat_map(crate::uplink::Chain::all).map(|link| link.name.clone()));
        known.insert(segment.bridge.name.clone());
    }
    // Where several are cut off alike, none of them is named alone.
    for subject in scene.running().filter(|subject| loss.affects.len() == 1 && loss.affects.contains(&subject.name)) {
        known.extend(subject.live_taps().map(|tap| tap.name.clone()));
        known.extend(subject.nics.iter().filter_map(|nic| nic.mac).map(|mac| mac.to_string()));
    }
    known
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| letter.is_whitespace() || matches!(letter, '"' | ',' | '{' | '}' | '(' | ')')).filter(|word| !word.is_empty())
}

impl Filtered<'_> {
    /// Whether libvirt or nova wrote it against guests that send with a stranger's address.
    pub(super) fn is_spoof_filter(&self) -> bool {
        let chain = self.rule.chain.to_ascii_lowercase();
        ["libvirt-", "i-", "o-", "nova-"].iter().any(|start| chain.starts_with(start)) || chain.contains("spoof")
    }

    pub(super) fn finding(self, definition: &Definition, summary: &str) -> Finding {
        let Self { loss, rule, moved, names } = self;
        let (family, table, chain) = (&rule.family, &rule.table, &rule.chain);
        let certainty = match (names, moved) {
            (true, Some(_)) => Certainty::Proven,
            (true, None) => Certainty::Likely,
            // It drops something; perhaps others' frames.
            (false, _) => Certainty::Possible,
        };
        let place = format!("{family} table {table}, chain {chain}: {}", rule.text);
        let mut finding =
            Finding::new(definition.explanation.code, loss.hop, loss.at, certainty, loss.effect, format!("{summary}: {place}"));
        finding.affects = loss.affects;
        finding.evidence = loss.evidence;
        if let Some(moved) = moved {
            finding = finding.seen(format!("the rule fitted {moved} packets meanwhile"), "firewall rules, two looks");
        } else {
            finding = finding.seen("the rule counts nothing, so that it was not seen to fit".to_owned(), "firewall rules");
        }
        finding.fixed_by(Fix::advice(format!(
            "see who wrote it, then take it out: nft -a list chain {family} {table} {chain}; nft delete rule {family} {table} {chain} handle N (with the old \
             ebtables: ebtables -t {table} -D {chain} and the rule)"
        )))
    }
}
