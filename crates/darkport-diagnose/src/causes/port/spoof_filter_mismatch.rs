//! `spoof-filter-mismatch`: the filters that libvirt or nova keep for an instance, against guests that send with a stranger's address, do not fit the instance (any more): its address changed, or they are left over from another one on that tap.

use darkport_model::{Effect, HopKind, Source};

use super::filtered::{Filtered, filtered};
use crate::check::{Definition, Explanation, Outcome};
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "spoof-filter-mismatch",
        hop: HopKind::Bridge,
        what: "The filters that libvirt or nova keep for an instance, against guests that send with a stranger's address, do not fit the instance (any more): its address changed, or they are left over from another one on that tap. Everything that it sends is dropped.",
        proof: "What the guest sends comes in by its tap and goes no further, and a rule of its own filter chain names it or counts meanwhile.",
        fix: "virsh nwfilter-list; compare the MAC and IP of the filter chain with the instance's; hard-reboot the instance, which writes its filters anew",
        reboot_helps: Some(true),
        reboot: "starting the instances writes their filters anew; starting this one does as well",
        reference: "libvirt, src/nwfilter/nwfilter_ebiptables_driver.c; nova/virt/libvirt/firewall.py (no-mac-spoofing, no-ip-spoofing, no-arp-spoofing)",
    },
    needs: &[],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    if scene.seen.gaps_in(Source::Rules).next().is_some() || scene.seen.host.drop_rules.is_empty() {
        return Outcome::NotApplicable;
    }
    let found = filtered(scene).into_iter().filter(Filtered::is_spoof_filter);
    let findings = found.map(|found| found.finding(&CAUSE, "the filter against forged addresses drops what the instance sends")).collect();
    Outcome::found_or(findings, || "no such rule stands where frames were lost".to_owned())
}

#[cfg(test)]
mod tests {
    use darkport_model::{Certainty, DropRule, HopKind, Part, Sampled, Whom};

    use crate::testing::{asked, crossed, diagnosed, nova_network, only, silent_instance};

    #[test]
    fn what_libvirts_own_chain_drops() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9]]);
            silent_instance(seen, 1, "10.68.16.11");
            crossed(seen, 1, &["vnet1"], Part::Answer);
            let mut rule = DropRule::new("bridge", "nat", "libvirt-I-vnet1", "ether saddr != fa:16:3e:00:00:99 drop");
            let mut packets = Sampled::once(7);
            packets.last = Some(47);
            rule.packets = Some(packets);
            seen.host.drop_rules.push(rule);
        });
        let cause = only(&diagnosis, "spoof-filter-mismatch");
        assert_eq!((cause.certainty, cause.hop), (Certainty::Proven, HopKind::TapPort));
    }
}
