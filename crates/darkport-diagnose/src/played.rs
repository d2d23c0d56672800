//! What played instances met with, in words for who reads the diagnosis.

use darkport_model::{Part, PlayedInstance, PlayedTest, SyntheticRun, SyntheticTest, TestKind};

use crate::scene::{Scene, Segment};
use crate::trace::way;

/// Each run with its devices' names.
pub(crate) fn played(scene: &Scene<'_>) -> Vec<PlayedInstance> {
    scene.seen.probes.synthetic.iter().map(|run| told(scene, run)).collect()
}

impl<'a> Scene<'a> {
    /// What was played on a segment.
    pub(crate) fn played(&self, segment: &Segment<'a>) -> impl Iterator<Item = &'a SyntheticRun> + use<'a> {
        let bridge = segment.bridge.index;
        self.seen.probes.synthetic.iter().filter(move |run| run.bridge == bridge)
    }
}

/// One of the things that an instance tried.
pub(crate) fn test(run: &SyntheticRun, kind: TestKind) -> Option<&SyntheticTest> {
    run.tests.iter().find(|test| test.kind == kind)
}

fn told(scene: &Scene<'_>, run: &SyntheticRun) -> PlayedInstance {
    let bridge = scene.wiring.link(run.bridge).map_or_else(|| format!("if{}", run.bridge.0), |link| link.name.clone());
    let mut played = PlayedInstance::new(bridge);
    (played.vid, played.address) = (run.vid, run.address);
    played.tests = run.tests.iter().map(|test| one(scene, run, test)).collect();
    played
}

fn one(scene: &Scene<'_>, run: &SyntheticRun, test: &SyntheticTest) -> PlayedTest {
    let mut told = PlayedTest::new(test.kind);
    (told.target, told.tries, told.passed) = (test.target, test.tries, test.passed);
    told.seen.clone_from(&test.detail);
    let way = |part| way(scene, &test.way, part, |link| Some(link) == run.port);
    (told.out, told.back) = (way(Part::Question), way(Part::Answer));
    told
}

#[cfg(test)]
mod tests {
    use darkport_model::{ArpProbe, Crossing, IfIndex, Link, LinkKind, MacAddr, Observation, Origin, Status, Whom};

    use super::*;
    use crate::testing::{diagnosed, healthy, passed, vlan_aware};

    #[test]
    fn a_run_is_told_with_names() {
        let mut seen = Observation::default();
        seen.links = vec![Link::new(1, "br1102"), Link::new(2, "eth1")];
        let mut run = SyntheticRun::new(IfIndex(1), MacAddr([2, 0, 0, 0, 0, 9]));
        run.port = Some(IfIndex(77));
        let mut test = SyntheticTest::new(TestKind::ArpGateway);
        (test.tries, test.passed) = (5, 0);
        test.way = [(77, false), (2, true), (78, true)].map(|(link, out)| Crossing::new(IfIndex(link), out, Part::Question)).to_vec();
        test.way[1].vid = 1102.try_into().ok();
        run.tests.push(test);
        seen.probes.synthetic.push(run);
        let told = played(&Scene::new(&seen));
        assert_eq!((told[0].bridge.as_str(), told[0].tests[0].tries), ("br1102", 5));
        assert_eq!((told[0].tests[0].out.as_str(), told[0].tests[0].back.as_str()), ("its port 0.0, eth1 with tag 1102 0.0, if78 0.0", ""));
    }

    /// A bridge that filters VLANs: this host is no member of the instances' one and asks nobody there.
    fn asked_by_the_played(seen: &mut crate::testing::Seen, answered: u32, out: &[&str]) {
        let bridge = seen.links.iter().find(|link| matches!(link.kind, LinkKind::Bridge { .. })).unwrap().index;
        let mut probe = ArpProbe::new(bridge, [10, 68, 16, 1].into(), Whom::Gateway);
        (probe.origin, probe.sent, probe.answered) = (Origin::SyntheticInstance, 5, answered);
        probe.way.push(Crossing::new(IfIndex(77), false, Part::Question));
        for name in out {
            probe.way.push(Crossing::new(seen.link_mut(name).index, true, Part::Question));
        }
        seen.probes.arp.push(probe);
    }

    #[test]
    fn it_asks_where_the_host_itself_cannot() {
        let diagnosis = diagnosed(vlan_aware(3), |seen| asked_by_the_played(seen, 5, &["eth1"]));
        healthy(&diagnosis);
        assert!(diagnosis.headline.contains("the gateway 10.68.16.1 answers"), "{}", diagnosis.headline);
        assert!(
            !diagnosis.assumptions.iter().any(|told| told.contains("nobody beyond this host was asked")),
            "{:?}",
            diagnosis.assumptions
        );
    }

    #[test]
    fn its_frames_show_the_place_as_well() {
        let diagnosis = diagnosed(vlan_aware(3), |seen| asked_by_the_played(seen, 0, &[]));
        let place = diagnosis.place.unwrap();
        assert_eq!((diagnosis.status, place.at.as_str()), (Status::Fault, "eth1"));
        let undecided = diagnosed(vlan_aware(3), |seen| {
            asked_by_the_played(seen, 0, &["eth1"]);
            passed(seen, "eth1", 20, 20);
        });
        assert_eq!(undecided.status, Status::Undetermined, "nobody was seen in want of the gateway");
    }
}
