//! `guests-stalled`: many taps are full at once, and nobody takes anything out of them.

use std::collections::BTreeSet;

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Link, LinkKind, Process, ProcessRole, Source};

use super::super::tap::queue_stalled;
use crate::check::{Definition, Explanation, Outcome, step};
use crate::reach::{Trail, trail_in};
use crate::scene::Scene;
use crate::subject::Subject;
use crate::uplink::listed;

/// So many instances that stall in one window have one reason; fewer may each have their own.
const MANY: usize = 3;
/// A guest that sent fewer packets in its life may still be booting, and its qemu not reading yet.
const BOOTED: u64 = 50;
/// The share of the last ten seconds, in percent, that all tasks wait for a resource when it holds everything up.
const PRESSED: f64 = 40.0;
/// Commands that one fix lists at most; what is beyond is said in words.
const STEPS: usize = 40;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "guests-stalled",
        hop: HopKind::Host,
        what: "Many instances' taps stand full at once over a bridge that is in order: their qemu processes or vhost workers have stopped taking frames, for \
               one reason that they share (stopped, waiting for memory or storage, page merging, a kernel that hangs). Nothing is wrong on the wire.",
        proof: "Within one window at least three instances, and most of those that were sent anything, took no frame out of their taps while frames were \
                dropped there, or while a question that was put into the tap was left lying.",
        fix: "What the stalled threads wait for: kill -CONT for stopped ones, echo 2 > /sys/kernel/mm/ksm/run where page merging holds them; else a reboot, \
              after darkport --save",
        reboot_helps: Some(true),
        reboot: "it starts every qemu and vhost thread anew; what they waited for is gone with it, so save first",
        reference: "linux, drivers/net/tun.c (tun_net_xmit drops when the ring is full; tun_do_read counts what is taken), mm/ksm.c; proc(5)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

/// Instances whose taps stall, and how many of those with a tap took frames.
pub(crate) struct Stall<'s, 'a> {
    pub(crate) stalled: Vec<(&'s Subject<'a>, &'a Link)>,
    working: usize,
}

impl Stall<'_, '_> {
    /// Whether so many stall that it is one thing rather than many.
    pub(crate) fn is_common(&self) -> bool {
        let names: BTreeSet<&str> = self.stalled.iter().map(|(subject, _)| subject.name.as_str()).collect();
        names.len() >= MANY && names.len() > self.working
    }
}

/// Which running instances' taps stall. Only a tun device counts what its reader takes; a tap that was sent nothing says nothing.
pub(crate) fn stall<'s, 'a>(scene: &'s Scene<'a>) -> Stall<'s, 'a> {
    let mut found = Stall { stalled: Vec::new(), working: 0 };
    for subject in scene.running() {
        let mut took = false;
        let before = found.stalled.len();
        for tap in subject.live_taps().filter(|tap| matches!(tap.kind, LinkKind::Tun { .. })) {
            let sent = tap.counters.latest().rx_packets;
            let full = queue_stalled::stalled(scene, tap).is_some();
            if full || (left_lying(scene, subject, tap) && sent >= BOOTED) {
                found.stalled.push((subject, tap));
            } else {
                took |= tap.counters.rise(|count| count.tx_packets).is_some_and(|taken| taken > 0);
            }
        }
        // One that takes frames from another tap of its own is not held up.
        if took {
            found.stalled.truncate(before);
            found.working += 1;
        }
    }
    found
}

/// A question for the instance was put into its tap, nothing was taken out, and it never answered.
fn left_lying<'a>(scene: &Scene<'a>, subject: &Subject<'a>, tap: &'a Link) -> bool {
    let untouched = tap.counters.rise(|count| count.tx_packets.saturating_add(count.rx_packets)) == Some(0);
    let put = scene.asked_for(&subject.name).any(|probe| {
        let segment = scene.segment(probe.bridge).filter(|_| probe.is_silent());
        segment.is_some_and(|segment| matches!(trail_in(segment, tap, probe), Trail::Left(..)))
    });
    untouched && put
}

fn check(scene: &Scene<'_>) -> Outcome {
    let taps = || scene.running().flat_map(Subject::live_taps).filter(|tap| matches!(tap.kind, LinkKind::Tun { .. }));
    match (taps().count(), taps().filter(|tap| tap.counters.last.is_some()).count()) {
        (0, _) => return Outcome::NotApplicable,
        (_, 0) => return Outcome::Unknown("a second look at the taps' counters".to_owned()),
        _ => {}
    }
    let stall = stall(scene);
    if !stall.is_common() {
        let (few, working) = (stall.stalled.len(), stall.working);
        return Outcome::RuledOut(format!(
            "{working} instances took frames out of their taps in the window; {few} did not although they had some"
        ));
    }
    let names: BTreeSet<String> = stall.stalled.iter().map(|(subject, _)| subject.name.clone()).collect();
    let taps: Vec<&str> = stall.stalled.iter().map(|(_, tap)| tap.name.as_str()).collect();
    let lost = stall.stalled.iter().filter_map(|(_, tap)| queue_stalled::stalled(scene, tap)).fold(0, u64::saturating_add);
    let reasons = reasons(scene, &stall);
    // All of them at once, or one reason that is seen in most, leaves nothing else; a few that go on leave room for it.
    let certainty = if stall.working == 0 || reasons.shared { Certainty::Proven } else { Certainty::Likely };
    let finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Host,
        "guests",
        certainty,
        Effect::Dark,
        format!("{} instances take nothing out of their taps at once: {}", names.len(), reasons.summary),
    )
    .affecting(names.into_iter().collect())
    .seen(
        format!(
            "nothing was taken out of {} in the window, while {lost} frames were dropped there; {} instances took theirs",
            listed(&taps),
            stall.working
        ),
        "netlink counters, two looks",
    );
    let finding = reasons.evidence.into_iter().fold(finding, |finding, (seen, source)| finding.seen(seen, source));
    Outcome::Found(vec![finding.fixed_by(reasons.fix)])
}

/// Why they stall, as far as it is seen.
struct Reasons {
    summary: String,
    evidence: Vec<(String, &'static str)>,
    fix: Fix,
    /// Whether one reason was seen in most of them.
    shared: bool,
}

fn reasons(scene: &Scene<'_>, stall: &Stall<'_, '_>) -> Reasons {
    let host = &scene.seen.host;
    let pids: BTreeSet<u32> = stall.stalled.iter().filter_map(|(subject, _)| subject.instance?.pid).collect();
    let owners: Vec<&Process> = host.processes.iter().filter(|process| pids.contains(&process.pid)).collect();
    let stopped: Vec<u32> = owners.iter().filter(|process| all_in(process, &['T', 't'])).map(|process| process.pid).collect();
    let waiting: Vec<&&Process> = owners.iter().filter(|process| any_in(process, &['D'])).collect();
    let most = |count: usize| count >= MANY && count * 2 > pids.len();
    let mut evidence = Vec::new();
    let mut steps = Vec::new();
    if !stopped.is_empty() {
        evidence.push((format!("{} of {} processes are stopped (state T): {}", stopped.len(), pids.len(), listed(&stopped)), "/proc"));
        for pid in stopped.iter().take(STEPS) {
            steps.push(step(scene, format!("kill -CONT {pid}"), "lets that instance's process run on", Some(format!("kill -STOP {pid}"))));
        }
    }
    if !waiting.is_empty() {
        let threads = waiting.iter().flat_map(|process| process.threads.iter().filter(|thread| is_in(thread, &['D'])));
        let places: BTreeSet<&str> = threads.filter_map(|thread| thread.waits_in.as_deref()).collect();
        let places: Vec<_> = places.into_iter().collect();
        let at = if places.is_empty() { String::new() } else { format!(", in {}", listed(&places)) };
        evidence.push((format!("{} of {} processes have a thread in uninterruptible sleep{at}", waiting.len(), pids.len()), "/proc"));
    }
    for (name, pressure) in host.pressure.iter().filter(|(_, pressure)| pressure.full_avg10 >= PRESSED) {
        evidence.push((format!("all tasks waited for {name} in {:.0} % of the last ten seconds", pressure.full_avg10), "/proc/pressure"));
    }
    let merging = host.ksm.as_ref().filter(|ksm| ksm.run == 1 && ksm.pages_sharing > 0);
    if let Some(ksm) = merging {
        evidence.push((format!("same-page merging runs, {} pages share others", ksm.pages_sharing), "/sys/kernel/mm/ksm"));
        let held = host.processes.iter().any(|process| process.role == ProcessRole::Ksmd && any_in(process, &['D', 'R']));
        if held && stopped.is_empty() {
            // Unmerging gives every sharer a page of its own; without that memory it would end in the OOM killer.
            let room = host.memory_available_kib.is_some_and(|kib| kib / 8 > ksm.pages_sharing);
            let (value, does) =
                if room { (2, "stops page merging and takes it back") } else { (0, "stops page merging, leaving what is merged") };
            let file = "/sys/kernel/mm/ksm/run";
            steps.push(step(scene, format!("echo {value} > {file}"), does, Some(format!("echo 1 > {file}"))));
        }
    }
    let summary = if most(stopped.len()) {
        "their processes are stopped".to_owned()
    } else if most(waiting.len()) {
        "their threads wait in the kernel".to_owned()
    } else {
        "what they share on this host holds them up".to_owned()
    };
    let shared = most(stopped.len()) || most(waiting.len());
    let advice = if most(stopped.len()) {
        "find who stopped them (kill -STOP, a freezer cgroup, a debugger)"
    } else {
        "save what is seen first (darkport --save), find what the threads wait for (/proc/PID/task/*/stack); where nothing frees them, a reboot does"
    };
    Reasons { summary, evidence, fix: Fix::steps(steps).and(advice), shared }
}

fn is_in(thread: &darkport_model::Thread, states: &[char]) -> bool {
    states.contains(&thread.state.first) && states.contains(thread.state.latest())
}

fn any_in(process: &Process, states: &[char]) -> bool {
    process.threads.iter().any(|thread| is_in(thread, states))
}

/// A stop stops every thread of a process, but not the kernel's worker that serves it.
fn all_in(process: &Process, states: &[char]) -> bool {
    let own = || process.threads.iter().filter(|thread| !thread.name.starts_with("vhost-"));
    own().next().is_some() && own().all(|thread| is_in(thread, states))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Seen, asked, count, diagnosed, healthy, nova_network, only, silent_instance};
    use darkport_model::{Certainty, Fact, FactSource, Process, Sampled, Thread, Whom};

    /// The taps of these guests drop frames and give none; the others take theirs.
    fn stall(seen: &mut Seen, guests: &[usize], all: usize) {
        for at in 0..all {
            let tap = seen.link_mut(&format!("vnet{at}"));
            tap.counters.first.rx_packets = 900;
            let full = guests.contains(&at);
            count(tap, |last| if full { last.tx_dropped += 40 } else { last.tx_packets += 40 });
        }
    }

    fn in_state(seen: &mut Seen, guest: usize, state: char) {
        let pid = 1000 + u32::try_from(guest).unwrap();
        seen.inventory.instances[guest].pid = Some(pid);
        let mut thread = Thread::default();
        thread.state = Sampled::once(state);
        thread.state.last = Some(state);
        let mut process = Process::default();
        (process.pid, process.threads) = (pid, vec![thread]);
        seen.host.processes.push(process);
    }

    #[test]
    fn all_taps_full_at_once_are_one_cause() {
        let cause = only(&diagnosed(nova_network(4), |seen| stall(seen, &[0, 1, 2, 3], 4)), "guests-stalled");
        assert_eq!((cause.explains.len(), cause.certainty), (4, Certainty::Proven));
    }

    #[test]
    fn stopped_processes_are_let_run_on() {
        let cause = only(
            &diagnosed(nova_network(4), |seen| {
                stall(seen, &[0, 1, 2], 4);
                (0..3).for_each(|guest| in_state(seen, guest, 'T'));
            }),
            "guests-stalled",
        );
        assert_eq!((cause.explains.len(), cause.certainty), (3, Certainty::Proven));
        assert_eq!(cause.fix.steps[0].run, "kill -CONT 1000");
        assert_eq!(cause.fix.steps[0].undo.as_deref(), Some("kill -STOP 1000"));
    }

    #[test]
    fn a_few_of_many_are_each_their_own() {
        let cause = only(&diagnosed(nova_network(6), |seen| stall(seen, &[0, 1], 6)), "tap-queue-stalled");
        assert_eq!(cause.explains.len(), 2);
    }

    #[test]
    fn questions_that_are_left_lying_in_taps_that_are_not_full_yet() {
        let fault = |seen: &mut Seen, sent: u64| {
            asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9]]);
            for at in 0..3 {
                let tap = seen.link_mut(&format!("vnet{at}"));
                tap.counters.first.rx_packets = sent;
                count(tap, |_| {});
                silent_instance(seen, at, &format!("10.68.16.{}", 10 + at));
            }
        };
        only(&diagnosed(nova_network(3), |seen| fault(seen, 900)), "guests-stalled");
        // Three that boot at once.
        healthy(&diagnosed(nova_network(3), |seen| fault(seen, 8)));
    }

    #[test]
    fn paused_instances_take_nothing_and_are_healthy() {
        healthy(&diagnosed(nova_network(4), |seen| {
            stall(seen, &[0, 1, 2, 3], 4);
            for instance in &mut seen.inventory.instances {
                instance.paused = Some(Fact::new(true, FactSource::LiveXml, "i.xml"));
            }
        }));
    }

    #[test]
    fn busy_taps_that_drop_while_they_are_read_are_healthy() {
        healthy(&diagnosed(nova_network(4), |seen| {
            for at in 0..4 {
                count(seen.link_mut(&format!("vnet{at}")), |last| (last.tx_dropped, last.tx_packets) = (40, 9000));
            }
        }));
    }
}
