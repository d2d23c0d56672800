//! `ebtables-drop`: a rule of ebtables, or of nftables in its families bridge and netdev, drops instances' frames.

use darkport_model::{Effect, HopKind, Source};

use super::filtered::filtered;
use crate::check::{Definition, Explanation, Outcome};
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "ebtables-drop",
        hop: HopKind::Bridge,
        what: "A rule of ebtables, or of nftables in its families bridge and netdev, drops instances' frames. Neither iptables nor the routing table shows it.",
        proof: "Frames are seen before the rule's hook and not behind it; the rule names the device, or its counter rises while darkport asks.",
        fix: "nft -a list chain FAMILY TABLE CHAIN; nft delete rule FAMILY TABLE CHAIN handle N; with the old ebtables: ebtables -t TABLE -D CHAIN RULE",
        reboot_helps: None,
        reboot: "it drops rules that were added by hand, and brings back those that a service adds",
        reference: "linux, net/bridge/netfilter/ebtables.c, net/bridge/br_netfilter_hooks.c; ebtables(8), nft(8)",
    },
    needs: &[],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    if scene.seen.gaps_in(Source::Rules).next().is_some() || scene.seen.host.drop_rules.is_empty() {
        return Outcome::NotApplicable;
    }
    let found = filtered(scene).into_iter().filter(|found| !found.is_spoof_filter());
    let findings = found.map(|found| found.finding(&CAUSE, "a firewall rule drops frames")).collect();
    Outcome::found_or(findings, || "no such rule stands where frames were lost".to_owned())
}

#[cfg(test)]
mod tests {
    use darkport_model::{Certainty, DropRule, Part, Sampled, Whom};

    use crate::testing::{Seen, asked, crossed, diagnosed, healthy, nova_network, only, silent_gateway, silent_instance};

    fn rule(seen: &mut Seen, chain: &str, text: &str, rise: Option<u64>) {
        let mut rule = DropRule::new("bridge", "filter", chain, text);
        rule.packets = rise.map(|rise| {
            let mut packets = Sampled::once(900);
            packets.last = Some(900 + rise);
            packets
        });
        seen.host.drop_rules.push(rule);
    }

    /// Answers of one instance die between its tap and the bridge.
    fn lost(seen: &mut Seen) {
        asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9]]);
        silent_instance(seen, 1, "10.68.16.11");
        crossed(seen, 1, &["vnet1"], Part::Answer);
    }

    #[test]
    fn the_rule_that_names_the_tap_and_counted_is_proof() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            lost(seen);
            rule(seen, "FORWARD", "iifname \"vnet2\" drop", Some(40));
            rule(seen, "FORWARD", "iifname \"vnet1\" drop", Some(9));
        });
        let cause = only(&diagnosis, "ebtables-drop");
        assert_eq!((cause.certainty, cause.explains.as_slice()), (Certainty::Proven, &["instance-00000002".to_owned()][..]));
        assert!(cause.summary.contains("iifname \"vnet1\" drop"), "{}", cause.summary);
    }

    #[test]
    fn a_rule_that_counts_nothing_is_likely() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102"]);
            rule(seen, "y", "oifname \"eth1.1102\" drop", None);
        });
        assert_eq!(only(&diagnosis, "ebtables-drop").certainty, Certainty::Likely);
    }

    #[test]
    fn one_that_drops_something_is_possible_beside_the_place() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            lost(seen);
            rule(seen, "FORWARD", "meta pkttype host drop", Some(40));
        });
        assert_eq!(only(&diagnosis, "ebtables-drop").certainty, Certainty::Possible);
        assert!(diagnosis.place.is_some());
    }

    #[test]
    fn rules_that_fitted_nothing_or_somebody_else_are_not_it() {
        for (text, rise) in [("iifname \"vnet1\" drop", Some(0)), ("iifname \"vnet2\" drop", Some(40)), ("ip protocol udp drop", Some(40))]
        {
            let diagnosis = diagnosed(nova_network(3), |seen| {
                lost(seen);
                rule(seen, "FORWARD", text, rise);
            });
            assert!(diagnosis.causes.is_empty() && diagnosis.place.is_some(), "{text}: {:?}", diagnosis.causes);
        }
    }

    #[test]
    fn rules_that_drop_what_nobody_misses_are_no_fault() {
        healthy(&diagnosed(nova_network(3), |seen| {
            asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9]]);
            rule(seen, "libvirt-I-vnet1", "ether saddr != fa:16:3e:00:00:02 drop", Some(40));
        }));
    }
}
