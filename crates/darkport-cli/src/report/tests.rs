//! Diagnoses made by hand, and the screens that they give.

use darkport::model::{
    Cause, Certainty, Diagnosis, Effect, Finding, Fix, Gap, GapReason, Hop, HopKind, HopState, InstanceState, InstanceVerdict, Path, Place,
    Reboot, RuledOut, Source, Status, Step, Timestamp, Undecided,
};

use super::{Style, render};

fn path(instance: &str, tap: &str, broken: Option<HopKind>) -> Path {
    let mut path = Path::default();
    path.instance = instance.into();
    for (kind, name) in [
        (HopKind::Guest, instance),
        (HopKind::Tap, tap),
        (HopKind::TapPort, tap),
        (HopKind::Bridge, "br1102"),
        (HopKind::UplinkPort, "eth1.1102"),
        (HopKind::VlanDevice, "eth1.1102"),
        (HopKind::Nic, "eth1"),
        (HopKind::Wire, "wire"),
    ] {
        let mut hop = Hop::new(kind, name, None);
        hop.state = match kind {
            _ if Some(kind) == broken => HopState::Broken,
            HopKind::Wire => HopState::Unseen,
            _ => HopState::Fine,
        };
        path.hops.push(hop);
    }
    path
}

fn instance(number: usize, state: InstanceState, broken: Option<HopKind>) -> InstanceVerdict {
    let mut verdict = InstanceVerdict::default();
    verdict.name = format!("instance-{number:08x}");
    verdict.state = state;
    verdict.sent = Some(120);
    verdict.received = Some(0);
    verdict.paths = vec![path(&verdict.name, &format!("vnet{number}"), broken)];
    verdict
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("instance-{number:08x}")).collect()
}

fn blank(status: Status) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    diagnosis.host = "virt1012".into();
    diagnosis.taken_at = Timestamp(1_424_755_862_000);
    diagnosis.window_ms = Some(2003);
    diagnosis.status = status;
    diagnosis
}

fn uplink(explains: Vec<String>) -> Cause {
    let fix = Fix::steps(vec![Step::new(
        "virt1012",
        "ip link set eth1.1102 master br1102",
        "eth1.1102 becomes a port of br1102 again",
        Some("ip link set eth1.1102 nomaster".into()),
    )]);
    let finding = Finding::new(
        "uplink-not-in-bridge",
        HopKind::UplinkPort,
        "eth1.1102",
        Certainty::Proven,
        Effect::Dark,
        "eth1.1102, the uplink of br1102, is a port of no bridge: no frame of these instances leaves the host",
    )
    .affecting(explains)
    .seen("eth1.1102 has no master", "netlink link dump")
    .seen("/etc/network/interfaces:12 wants eth1.1102 in br1102", "configuration")
    .seen("br1102 has 6 ports, all of them taps", "netlink link dump")
    .fixed_by(fix);
    Cause::new(finding, vec![RuledOut::new("uplink-no-carrier", "eth1 has carrier"), RuledOut::new("bridge-admin-down", "br1102 is up")])
}

fn mtu(explains: Vec<String>) -> Cause {
    let fix = Fix::steps(vec![
        Step::new("virt1012", "ip link set eth1 mtu 1500", "eth1 takes full frames", Some("ip link set eth1 mtu 1400".into())),
        Step::new("virt1012", "ip link set br1102 mtu 1500", "br1102 takes full frames", Some("ip link set br1102 mtu 1400".into())),
    ]);
    let finding = Finding::new(
        "mtu-mismatch",
        HopKind::Nic,
        "eth1",
        Certainty::Likely,
        Effect::Degraded,
        "eth1 takes 1400 bytes where the instances send 1500: small packets pass, full ones die",
    );
    Cause::new(finding.affecting(explains).seen("eth1 has MTU 1400, vnet0 has 1500", "netlink link dump").fixed_by(fix), Vec::new())
}

fn dark() -> Diagnosis {
    let mut diagnosis = blank(Status::Fault);
    diagnosis.headline = "6 of 6 instances dark: eth1.1102 is a port of no bridge".into();
    diagnosis.instances = (0..6).map(|number| instance(number, InstanceState::Dark, Some(HopKind::UplinkPort))).collect();
    diagnosis.instances.push(instance(9, InstanceState::Off, None));
    diagnosis.causes = vec![uplink(names(6))];
    diagnosis.place = Some(Place::new(HopKind::UplinkPort, "eth1.1102", "it has no master"));
    diagnosis.ruled_out = ["uplink-no-carrier", "stp-port-blocked", "mtu-mismatch", "conntrack-full", "qdisc-drop"]
        .map(|code| RuledOut::new(code, "nothing of it was seen"))
        .to_vec();
    diagnosis.reboot = Some(Reboot::new(
        Some(true),
        "the boot scripts put eth1.1102 back, and with it goes all that tells who took it out",
        vec!["darkport --save virt1012-before-reboot.json".into()],
    ));
    diagnosis.gaps = vec![
        Gap::new(Source::Ethtool, "ethtool features of eth1", GapReason::Permission, "Operation not permitted (os error 1)"),
        Gap::new(Source::Claims, "the control plane's list", GapReason::NotAsked, "it was not asked for"),
    ];
    diagnosis.assumptions = vec!["the wire, the switch and the network host are not probed".into()];
    diagnosis
}

fn healthy() -> Diagnosis {
    let mut diagnosis = blank(Status::Healthy);
    diagnosis.headline = "6 of 6 instances have a whole path as far as this host can see".into();
    diagnosis.instances = (0..6).map(|number| instance(number, InstanceState::Fine, None)).collect();
    diagnosis.ruled_out = dark().ruled_out;
    diagnosis.assumptions = dark().assumptions;
    diagnosis
}

fn two_causes() -> Diagnosis {
    let mut diagnosis = dark();
    diagnosis.causes.extend([mtu(names(6)), mtu(names(2)), mtu(names(1)), mtu(Vec::new())]);
    diagnosis
}

fn undetermined() -> Diagnosis {
    let mut diagnosis = blank(Status::Undetermined);
    diagnosis.headline = "no answer: too little could be seen".into();
    diagnosis.window_ms = None;
    diagnosis.undecided = (0..9).map(|number| Undecided::new(format!("cause-{number}"), "the list of links: EPERM")).collect();
    diagnosis.gaps = (0..7).map(|number| Gap::new(Source::Links, format!("table {number}"), GapReason::Permission, "EPERM")).collect();
    diagnosis
}

fn ambiguous() -> Diagnosis {
    let mut diagnosis = dark();
    diagnosis.status = Status::Ambiguous;
    diagnosis.headline = "6 of 6 instances dark, and the evidence fits two causes alike".into();
    let mut other = uplink(names(6));
    other.code = "uplink-in-wrong-bridge".into();
    for (cause, certainty) in diagnosis.causes.iter_mut().chain([&mut other]).zip([Certainty::Possible, Certainty::Possible]) {
        cause.certainty = certainty;
    }
    diagnosis.causes.push(other);
    diagnosis
}

fn hostile() -> Diagnosis {
    let evil = format!("\u{1b}]0;pwned\u{7}\u{202e}vm\n{}", "A".repeat(10_000));
    let mut diagnosis = dark();
    diagnosis.host.clone_from(&evil);
    diagnosis.headline.clone_from(&evil);
    for verdict in &mut diagnosis.instances {
        verdict.name.clone_from(&evil);
        verdict.because = Some(evil.clone());
        for path in &mut verdict.paths {
            path.hops.iter_mut().for_each(|hop| hop.name.clone_from(&evil));
        }
    }
    for cause in &mut diagnosis.causes {
        for text in [&mut cause.code, &mut cause.at, &mut cause.summary] {
            text.clone_from(&evil);
        }
        cause.explains = vec![evil.clone()];
        cause.evidence.iter_mut().for_each(|piece| (piece.seen, piece.source) = (evil.clone(), evil.clone()));
        cause.fix.steps = vec![
            Step::new(evil.clone(), evil.clone(), evil.clone(), Some(evil.clone())),
            Step::new("virt1012", "ip link set '\u{1b}[2Jvnet0' up", "short", None),
        ];
        cause.fix.advice = Some(evil.clone());
    }
    diagnosis.ruled_out = vec![RuledOut::new(evil.clone(), evil.clone())];
    diagnosis.undecided = vec![Undecided::new(evil.clone(), evil.clone())];
    diagnosis.assumptions = vec![evil.clone()];
    diagnosis.place = Some(Place::new(HopKind::Bridge, evil.clone(), evil.clone()));
    diagnosis.reboot = Some(Reboot::new(None, evil.clone(), vec![evil.clone(), evil.clone()]));
    diagnosis.gaps = vec![Gap::new(Source::Links, evil.clone(), GapReason::Malformed, evil)];
    diagnosis
}

fn thousand() -> Diagnosis {
    let mut diagnosis = dark();
    let state = |number| if number % 3 == 0 { (InstanceState::Dark, Some(HopKind::TapPort)) } else { (InstanceState::Fine, None) };
    diagnosis.instances = (0..1000).map(|number| instance(number, state(number).0, state(number).1)).collect();
    diagnosis.causes = (0..334).map(|number| uplink(vec![format!("instance-{:08x}", number * 3)])).collect();
    diagnosis
}

/// Every diagnosis above, by name.
fn all() -> Vec<(&'static str, Diagnosis)> {
    let mut warning = dark();
    warning.instances.iter_mut().for_each(|instance| instance.state = InstanceState::Degraded);
    warning.causes = vec![mtu(names(6))];
    let mut unexplained = dark();
    unexplained.causes.clear();
    unexplained.headline = "6 of 6 instances dark: frames die between eth1.1102 and eth1; no known cause is proven".into();
    unexplained.place = Some(Place::new(HopKind::Nic, "eth1", "asked for 10.68.16.1 6 times: seen at eth1.1102, never at eth1"));
    unexplained.reboot = Some(Reboot::new(
        None,
        "the cause is not known; a reboot may hide it and will destroy the evidence",
        vec!["darkport --save virt1012-before-reboot.json".into()],
    ));
    let mut perhaps = unexplained.clone();
    perhaps.status = Status::Ambiguous;
    perhaps.causes = vec![uplink(names(6))];
    vec![
        ("dark", dark()),
        ("degraded", warning),
        ("unexplained", unexplained),
        ("perhaps", perhaps),
        ("healthy", healthy()),
        ("two-causes", two_causes()),
        ("undetermined", undetermined()),
        ("ambiguous", ambiguous()),
        ("hostile", hostile()),
        ("thousand", thousand()),
        ("blank", Diagnosis::default()),
    ]
}

#[test]
fn screens() {
    for (name, diagnosis) in all() {
        insta::assert_snapshot!(name, render(&diagnosis, &Style::default()));
    }
    insta::assert_snapshot!("dark-verbose", render(&dark(), &Style::default().verbose()));
    insta::assert_snapshot!("dark-wide-ascii", render(&dark(), &Style::default().width(100).ascii()));
    insta::assert_snapshot!("dark-colour", render(&dark(), &Style::default().colour()).replace('\u{1b}', "^"));
}

#[test]
fn a_screen_is_a_screen() {
    for (name, diagnosis) in all() {
        for width in [60, 80, 100] {
            let text = render(&diagnosis, &Style::default().width(width));
            let lines: usize = text.lines().map(|line| line.chars().count().div_ceil(width).max(1)).sum();
            // Hostile names of 10 kB may need a line more where a line holds 60 characters only.
            assert!(lines <= 24 || (name == "hostile" && width < 80), "{name} takes {lines} lines of {width}:\n{text}");
            // Only commands may be longer, so that they can be copied whole.
            let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > width && !line.contains("on virt1012:")).collect();
            assert!(long.iter().all(|line| line.contains("before one:  ")) || name == "hostile", "{name} at {width}: {long:?}");
        }
    }
}

#[test]
fn nothing_untrusted_steers_the_terminal() {
    for style in [Style::default(), Style::default().verbose(), Style::default().ascii()] {
        let text = render(&hostile(), &style);
        let raw = text.chars().filter(|character| *character != '\n' && darkport::model::printable(&character.to_string()).len() > 4);
        assert_eq!(raw.collect::<String>(), "");
        assert!(!text.contains(&"A".repeat(700)), "a name of 10 kB is cut");
    }
}

#[test]
fn a_fix_is_never_cut() {
    let mut diagnosis = two_causes();
    let long = format!("ip link set {} up", "x".repeat(300));
    if let Some(cause) = diagnosis.causes.first_mut() {
        cause.fix = Fix::steps((0..7).map(|n| Step::new("virt1012", format!("{long} # {n}"), "it", None)).collect());
        cause.evidence = (0..50).map(|n| darkport::model::Evidence::new(format!("fact {n}"), "netlink")).collect();
    }
    let text = render(&diagnosis, &Style::default());
    for number in 0..7 {
        assert!(text.contains(&format!("{long} # {number}\n")), "step {number} is whole:\n{text}");
    }
}

#[test]
fn what_could_not_be_read_is_never_healthy() {
    let text = render(&undetermined(), &Style::default());
    assert!(text.starts_with("UNKNOWN"), "{text}");
    assert!(!text.to_lowercase().contains("healthy"), "{text}");
    assert!(text.contains("as root"), "{text}");
}

#[test]
fn a_tap_in_no_bridge_is_cut_off_behind_itself() {
    let mut diagnosis = dark();
    diagnosis.instances = vec![instance(1, InstanceState::Dark, Some(HopKind::Tap))];
    let drawn = |diagnosis: &Diagnosis| render(diagnosis, &Style::default());
    assert!(drawn(&diagnosis).contains("instance-00000001 ─✗ vnet1 ─ br1102"), "a port that is broken itself");
    let hops = &mut diagnosis.instances.iter_mut().flat_map(|instance| &mut instance.paths).next().unwrap().hops;
    hops.retain(|hop| hop.kind != HopKind::TapPort);
    assert!(drawn(&diagnosis).contains("instance-00000001 ─ vnet1 ─✗ br1102 ─ eth1.1102"), "{}", drawn(&diagnosis));
    diagnosis.instances[0].paths[0].hops.truncate(2);
    assert!(drawn(&diagnosis).contains("instance-00000001 ─ vnet1 ─✗\n"), "{}", drawn(&diagnosis));
}

#[test]
fn the_first_line_tells_the_cause_and_fits() {
    let first = |diagnosis: &Diagnosis, width| render(diagnosis, &Style::default().width(width)).lines().next().unwrap().to_owned();
    assert_eq!(first(&dark(), 100), "CRITICAL  virt1012  6 of 6 instances DARK, 1 off: uplink-not-in-bridge at eth1.1102");
    assert_eq!(first(&dark(), 60), "CRITICAL  virt1012  6 of 6 instances DARK, 1 off: uplink-no…");
    assert!(first(&ambiguous(), 100).contains(": uplink-not-in-bridge or uplink-in-"));
    assert!(first(&undetermined(), 80).contains(", no answer: too little could be seen"));
}

#[test]
fn an_assumption_is_told_whole_or_counted() {
    let mut diagnosis = healthy();
    let specific = "br1102 has no way out of this host, and nothing says that it should: its instances reach each other only";
    let wire = "the wire, the switch and the network host are not probed: what lies beyond this host's NICs is taken to be in order";
    diagnosis.assumptions = vec![specific.into(), wire.into(), "there was one look only, so that nothing is known of rates".into()];
    let flat = |diagnosis: &Diagnosis| {
        let text = render(diagnosis, &Style::default());
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(flat(&diagnosis).contains(&format!("ASSUMED {specific} and 2 more (-v)")), "{}", flat(&diagnosis));
    diagnosis.assumptions.remove(0);
    let both = format!("ASSUMED {wire}; there was one look only, so that nothing is known of rates");
    assert!(flat(&diagnosis).ends_with(&both), "{}", flat(&diagnosis));
}

#[test]
fn what_an_ok_did_not_need_does_not_alarm() {
    let mut diagnosis = healthy();
    diagnosis.gaps = dark().gaps;
    let text = render(&diagnosis, &Style::default());
    assert!(text.contains("1 thing could not be read, none that this answer needs (-v lists it);"), "{text}");
    assert!(text.contains("run it as root") && !text.contains("RULED OUT"), "{text}");
    let root = Style { root: true, ..Style::default() };
    assert!(!render(&diagnosis, &root).contains("as root"), "root sees what can be seen");
    assert!(!render(&undetermined(), &root).contains("as root"));
}
