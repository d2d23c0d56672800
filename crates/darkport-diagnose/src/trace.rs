//! The ways of questions and answers, in words for who reads the diagnosis.

use darkport_model::{ArpProbe, Crossing, IfIndex, Part, Trace, Whom};

use crate::reach::tagged;
use crate::scene::Scene;

/// Devices that are named of one way.
const DEVICES: usize = 32;
/// More ways help nobody; an observation has them all.
const MOST: usize = 32;

/// The ways to and from gateways, and those of questions that no instance answered.
pub(crate) fn traces(scene: &Scene<'_>) -> Vec<Trace> {
    let telling = |probe: &&ArpProbe| probe.sent > 0 && (probe.whom == Whom::Gateway || probe.is_silent());
    scene.seen.probes.arp.iter().filter(telling).take(MOST).map(|probe| trace(scene, probe)).collect()
}

fn trace(scene: &Scene<'_>, probe: &ArpProbe) -> Trace {
    let bridge = scene.wiring.link(probe.bridge).map_or_else(|| format!("if{}", probe.bridge.0), |link| link.name.clone());
    let mut told = Trace::new(bridge, probe.target);
    told.whose = match &probe.whom {
        Whom::Gateway => "the gateway".to_owned(),
        Whom::Instance(name) => name.clone(),
        _ => String::new(),
    };
    (told.sent, told.answered) = (probe.sent, probe.answered);
    let way = |part| way(scene, &probe.way, part, |_| false);
    (told.out, told.back) = (way(Part::Question), way(Part::Answer));
    told
}

/// The devices of one half of a way, with tags and milliseconds. A device that is gone may be a played instance's `own`.
pub(crate) fn way(scene: &Scene<'_>, way: &[Crossing], part: Part, own: impl Fn(IfIndex) -> bool) -> String {
    let crossed = way.iter().filter(|crossing| crossing.part == part).take(DEVICES);
    let names = crossed.map(|crossing| {
        let name = match scene.wiring.link(crossing.link) {
            Some(link) => link.name.clone(),
            None if own(crossing.link) => "its port".to_owned(),
            None => format!("if{}", crossing.link.0),
        };
        format!("{name}{} {:.1}", tagged(crossing.vid), crossing.first_us as f64 / 1000.0)
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use darkport_model::{Part, Whom};

    use crate::testing::{asked, crossed, diagnosed, nova_network};

    #[test]
    fn the_gateways_way_is_told_and_an_answering_instances_is_not() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            asked(seen, "10.68.16.10", Whom::Instance("instance-00000001".into()), &[[0xfa, 0x16, 0x3e, 0, 0, 1]]);
            asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9]]);
            crossed(seen, 1, &["br1102", "eth1.1102", "eth1"], Part::Question);
            crossed(seen, 1, &["eth1", "eth1.1102", "br1102"], Part::Answer);
            let way = &mut seen.probes.arp[1].way;
            (way[2].vid, way[2].first_us) = (1102.try_into().ok(), 140);
        });
        let [trace] = diagnosis.traces.as_slice() else { panic!("{:?}", diagnosis.traces) };
        assert_eq!((trace.bridge.as_str(), trace.whose.as_str()), ("br1102", "the gateway"));
        assert_eq!(trace.out, "br1102 0.0, eth1.1102 0.0, eth1 with tag 1102 0.1");
        assert_eq!(trace.back, "eth1 0.0, eth1.1102 0.0, br1102 0.0");
    }
}
