//! Compares what darkport said with what is true.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::scenario::{Dark, DarkWord, OneOrMore, Scenario, Truth};
use crate::wire::Run;

/// How one scenario ended: a line of the machine-readable result.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    /// The scenario.
    pub(crate) scenario: String,
    /// All holds.
    pub(crate) ok: bool,
    /// Why it did not run, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<String>,
    /// The code that had to come first.
    pub(crate) expected: String,
    /// The code that came first.
    pub(crate) got: Option<String>,
    /// darkport's status.
    pub(crate) status: Option<String>,
    /// The place of the true cause in the ranking, from 1.
    pub(crate) place: Option<usize>,
    /// The hop is the right one.
    pub(crate) hop_ok: bool,
    /// The dark instances are the right ones.
    pub(crate) dark_ok: bool,
    /// The first cause's certainty.
    pub(crate) certainty: Option<String>,
    /// How long darkport ran.
    pub(crate) seconds: f64,
    /// How long the scenario took.
    pub(crate) total_seconds: f64,
    /// The instances that really got no answer.
    pub(crate) truth_dark: Vec<String>,
    /// The instances that really lost some.
    pub(crate) truth_degraded: Vec<String>,
    /// Why the fault was patched into an observation, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) synthetic: Option<String>,
    /// The saved observation gets the same answer on the machine, where that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offline_ok: Option<bool>,
    /// What does not hold.
    pub(crate) why: Vec<String>,
}

impl Verdict {
    /// Adds how the saved observation's answer differs from the live one, if it does.
    pub(crate) fn add_offline(&mut self, difference: Option<String>) {
        self.offline_ok = Some(difference.is_none());
        self.why.extend(difference);
        self.ok = self.why.is_empty();
    }

    /// A scenario that did not run.
    pub(crate) fn skipped(scenario: &Scenario, reason: String) -> Self {
        Self { skipped: Some(reason), ..Self::blank(scenario) }
    }

    /// A scenario that ought to have run, and did not.
    pub(crate) fn failed(scenario: &Scenario, reason: String) -> Self {
        Self { why: vec![reason], ..Self::blank(scenario) }
    }

    fn blank(scenario: &Scenario) -> Self {
        Self {
            scenario: scenario.name.clone(),
            ok: false,
            skipped: None,
            expected: scenario.expected().to_owned(),
            got: None,
            status: None,
            place: None,
            hop_ok: false,
            dark_ok: false,
            certainty: None,
            seconds: 0.0,
            total_seconds: 0.0,
            truth_dark: Vec::new(),
            truth_degraded: Vec::new(),
            synthetic: scenario.synthetic.clone(),
            offline_ok: None,
            why: Vec::new(),
        }
    }
}

/// A named text in an object.
fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn place_of(causes: &[Value], code: &str) -> Option<usize> {
    causes.iter().position(|cause| text(cause, "code") == Some(code)).map(|at| at + 1)
}

fn hop_fits(cause: &Value, wanted: Option<&OneOrMore>) -> bool {
    let Some(wanted) = wanted else { return true };
    let Some(hop) = text(cause, "hop") else { return false };
    wanted.as_slice().iter().any(|w| w == hop || (w == "port" && (hop == "tap-port" || hop == "uplink-port")))
}

fn names(dark: Option<&Dark>, all: &[String]) -> BTreeSet<String> {
    match dark {
        Some(Dark::Word(DarkWord::All)) => all.iter().cloned().collect(),
        Some(Dark::These(these)) => these.iter().cloned().collect(),
        Some(Dark::Word(DarkWord::None)) | None => BTreeSet::new(),
    }
}

fn show(set: &BTreeSet<String>) -> String {
    let short: Vec<_> = set.iter().map(|n| n.strip_prefix("instance-").map_or(n.as_str(), |n| n.trim_start_matches('0'))).collect();
    match short.len() {
        0 => "none".into(),
        1..=8 => short.join(","),
        n => format!("{} and {} more", short.iter().take(6).copied().collect::<Vec<_>>().join(","), n - 6),
    }
}

/// Judges one run.
pub(crate) fn judge(scenario: &Scenario, run: &Run) -> Verdict {
    let mut v = Verdict {
        seconds: run.seconds,
        total_seconds: run.total_seconds,
        truth_dark: run.truth_dark.clone(),
        truth_degraded: run.truth_degraded.clone(),
        ..Verdict::blank(scenario)
    };
    if let Some(broken) = &run.broken {
        v.why.push(format!("lab broken: {broken}"));
        return v;
    }
    let report: Value = match serde_json::from_str(&run.stdout) {
        Ok(report) => report,
        Err(error) => {
            let code = run.exit_code.map_or("no exit code".into(), |c| format!("exit code {c}"));
            let said = crate::prepare::tail(&run.stderr, 300);
            v.why.push(format!("darkport printed no JSON ({error}), {code}: {said}"));
            return v;
        }
    };
    v.status = text(&report, "status").map(str::to_owned);
    let causes = list(&report, "causes");
    v.got = causes.first().and_then(|c| text(c, "code")).map(str::to_owned);
    v.certainty = causes.first().and_then(|c| text(c, "certainty")).map(str::to_owned);
    check_status(scenario, causes, &mut v);
    check_causes(scenario, run, &report, &mut v);
    check_dark(scenario, run, &report, &mut v);
    if run.exit_code.is_none() {
        v.why.push(format!("darkport did not end by itself within {:.0} s", run.seconds));
    }
    for note in &scenario.expect.notes {
        if !list(&report, "notes").iter().any(|n| text(n, "code") == Some(note)) {
            v.why.push(format!("no note {note}"));
        }
    }
    for reason in &scenario.expect.drops {
        let frames = |drop: &Value| drop.get("frames").and_then(Value::as_u64).unwrap_or(0);
        if !list(&report, "drops").iter().any(|drop| text(drop, "reason") == Some(reason) && frames(drop) > 0) {
            v.why.push(format!("no frame is told of that the kernel dropped for {reason}"));
        }
    }
    if let Some(wanted) = scenario.expect.exit_code.filter(|&wanted| run.exit_code != Some(wanted)) {
        v.why.push(format!("exit code {}, not {wanted}", run.exit_code.map_or("none".into(), |c| c.to_string())));
    }
    if let Some(limit) = scenario.expect.max_seconds.filter(|&limit| run.seconds > limit) {
        v.why.push(format!("took {:.1} s, not at most {limit} s", run.seconds));
    }
    check_truth(scenario, run, &mut v);
    v.ok = v.why.is_empty();
    v
}

fn check_status(scenario: &Scenario, causes: &[Value], v: &mut Verdict) {
    let status = v.status.as_deref().unwrap_or("none");
    let wanted = match (&scenario.expect.status, scenario.expected()) {
        (Some(wanted), _) => wanted.clone(),
        (None, "healthy") => OneOrMore::One("healthy".into()),
        (None, "unknown") => OneOrMore::More(["fault", "ambiguous", "undetermined"].map(str::to_owned).to_vec()),
        // What darkens nobody may leave the host healthy, as long as it is told.
        (None, _) if darkens_nobody(scenario) => OneOrMore::More(["healthy", "fault", "ambiguous"].map(str::to_owned).to_vec()),
        (None, _) => OneOrMore::More(["fault", "ambiguous"].map(str::to_owned).to_vec()),
    };
    if !wanted.as_slice().iter().any(|w| w == status) {
        v.why.push(format!("status {status}, not {}", wanted.as_slice().join(" or ")));
    }
    let proven = causes.iter().find(|c| text(c, "certainty") == Some("proven"));
    if let Some(cause) = proven.filter(|_| scenario.expected() == "unknown") {
        v.why.push(format!("{} is called proven", text(cause, "code").unwrap_or("a cause")));
    }
}

fn darkens_nobody(scenario: &Scenario) -> bool {
    scenario.expect.dark == Some(Dark::Word(DarkWord::None)) && scenario.expect.also.is_empty()
}

fn check_causes(scenario: &Scenario, run: &Run, report: &Value, v: &mut Verdict) {
    let causes = list(report, "causes");
    let expect = &scenario.expect;
    let code = scenario.expected();
    if code == "healthy" || code == "unknown" {
        v.hop_ok = true;
        if let Some(got) = v.got.clone().filter(|_| code == "healthy") {
            v.why.push(format!("false alarm: {got}"));
            v.hop_ok = false;
        }
        return;
    }
    v.place = place_of(causes, code);
    // What darkens nobody may be told as a note.
    if causes.is_empty() && list(report, "notes").iter().any(|n| text(n, "code") == Some(code)) {
        (v.place, v.hop_ok) = (Some(1), true);
        return;
    }
    let all = 1 + expect.also.len();
    match v.place {
        None => v.why.push(format!("{code} is not among the causes (first: {})", v.got.as_deref().unwrap_or("none"))),
        Some(place) if place > all => v.why.push(format!("{code} comes {place}., after {}", v.got.as_deref().unwrap_or("none"))),
        Some(_) => {}
    }
    let cause = v.place.and_then(|place| causes.get(place - 1));
    v.hop_ok = cause.is_some_and(|c| hop_fits(c, expect.hop.as_ref()));
    if let Some(cause) = cause.filter(|_| !v.hop_ok) {
        v.why.push(format!(
            "hop {}, not {}",
            text(cause, "hop").unwrap_or("none"),
            expect.hop.as_ref().map_or(String::new(), |h| h.as_slice().join(" or "))
        ));
    }
    if let (Some(cause), Some(least)) = (cause, expect.certainty) {
        let got = cause.get("certainty").and_then(|c| serde_json::from_value::<crate::scenario::Certainty>(c.clone()).ok());
        v.certainty = text(cause, "certainty").map(str::to_owned);
        if got.is_none_or(|got| got < least) {
            v.why.push(format!("certainty {}, not at least {least:?}", v.certainty.as_deref().unwrap_or("none")).to_lowercase());
        }
    }
    for also in &expect.also {
        match place_of(causes, &also.code) {
            None => v.why.push(format!("{} is not among the causes", also.code)),
            Some(place) if place > all => v.why.push(format!("{} comes {place}.", also.code)),
            Some(place) => {
                if let Some(cause) = causes.get(place - 1).filter(|c| !hop_fits(c, also.hop.as_ref())) {
                    v.hop_ok = false;
                    v.why.push(format!("{}: hop {}", also.code, text(cause, "hop").unwrap_or("none")));
                }
            }
        }
    }
    if !expect.also.is_empty() {
        let each = std::iter::once((code, expect.dark.as_ref())).chain(expect.also.iter().map(|a| (a.code.as_str(), a.dark.as_ref())));
        for (code, dark) in each.filter(|(_, dark)| dark.is_some()) {
            let wanted = names(dark, &run.instances);
            // An instance that another cause darkens too may be left to it.
            let shared: BTreeSet<String> = std::iter::once((scenario.expected(), expect.dark.as_ref()))
                .chain(expect.also.iter().map(|a| (a.code.as_str(), a.dark.as_ref())))
                .filter(|(other, _)| *other != code)
                .flat_map(|(_, dark)| names(dark, &run.instances))
                .collect();
            let explains: BTreeSet<String> = causes
                .iter()
                .filter(|c| text(c, "code") == Some(code))
                .flat_map(|c| list(c, "explains").iter().filter_map(Value::as_str).map(str::to_owned))
                .collect();
            if place_of(causes, code).is_some()
                && !(explains.is_subset(&wanted) && wanted.difference(&shared).all(|n| explains.contains(n)))
            {
                v.why.push(format!("{code} explains {}, not {}", show(&explains), show(&wanted)));
            }
        }
    }
}

fn expected_dark(scenario: &Scenario, all: &[String]) -> BTreeSet<String> {
    let mut wanted = names(scenario.expect.dark.as_ref(), all);
    for also in &scenario.expect.also {
        wanted.extend(names(also.dark.as_ref(), all));
    }
    wanted
}

fn check_dark(scenario: &Scenario, run: &Run, report: &Value, v: &mut Verdict) {
    if scenario.expect.dark.is_none() && scenario.expected() != "healthy" {
        v.dark_ok = true;
        return;
    }
    let wanted = expected_dark(scenario, &run.instances);
    let said: BTreeSet<String> = list(report, "instances")
        .iter()
        .filter(|i| matches!(text(i, "state"), Some("dark" | "degraded")))
        .filter_map(|i| text(i, "name"))
        .map(str::to_owned)
        .collect();
    v.dark_ok = said == wanted;
    if !v.dark_ok {
        v.why.push(format!("dark: {}, not {}", show(&said), show(&wanted)));
    }
}

/// The scenario's own claim against what pings showed: a wrong claim would test nothing.
fn check_truth(scenario: &Scenario, run: &Run, v: &mut Verdict) {
    if scenario.truth == Truth::Skip
        || scenario.bare
        || scenario.synthetic.is_some()
        || scenario.run_on != crate::scenario::HostName::Virt1012
    {
        return;
    }
    if scenario.expect.dark.is_none() && scenario.expected() != "healthy" {
        return;
    }
    let wanted = expected_dark(scenario, &run.instances);
    let mut truth: BTreeSet<String> = run.truth_dark.iter().cloned().collect();
    if scenario.truth == Truth::Degraded {
        truth.extend(run.truth_degraded.iter().cloned());
    }
    if truth != wanted {
        v.why.push(format!("the scenario's own dark set is wrong: pings say {}, it says {}", show(&truth), show(&wanted)));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use serde_json::json;

    fn scenario(text: &str) -> Scenario {
        Scenario::parse(text, Path::new("s.toml")).unwrap()
    }

    fn uplink() -> Scenario {
        scenario(
            "code = \"uplink-not-in-bridge\"\nstory = \"x\"\ninstances = 2\n[expect]\nhop = \"port\"\ndark = \"all\"\ncertainty = \"likely\"\nmax_seconds = 5\n",
        )
    }

    fn run(report: &Value) -> Run {
        let instances = vec!["instance-00000001".to_owned(), "instance-00000002".to_owned()];
        Run { truth_dark: instances.clone(), instances, exit_code: Some(2), stdout: report.to_string(), seconds: 1.0, ..Run::default() }
    }

    fn good() -> Value {
        json!({
            "schema": 1, "status": "fault",
            "instances": [{"name": "instance-00000001", "state": "dark"}, {"name": "instance-00000002", "state": "degraded"}],
            "causes": [{"code": "uplink-not-in-bridge", "certainty": "proven", "hop": "uplink-port",
                        "explains": ["instance-00000001", "instance-00000002"]}],
        })
    }

    fn broken_by(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut report = good();
        change(&mut report);
        judge(&uplink(), &run(&report)).why
    }

    #[test]
    fn a_right_verdict_holds() {
        let v = judge(&uplink(), &run(&good()));
        assert!(v.ok, "{:?}", v.why);
        assert_eq!((v.place, v.hop_ok, v.dark_ok), (Some(1), true, true));
    }

    #[test]
    fn every_wrong_part_is_named() {
        assert_eq!(
            broken_by(|r| r["causes"][0]["code"] = json!("bridge-admin-down")),
            ["uplink-not-in-bridge is not among the causes (first: bridge-admin-down)"]
        );
        assert_eq!(broken_by(|r| r["causes"][0]["hop"] = json!("nic")), ["hop nic, not port"]);
        assert_eq!(broken_by(|r| r["causes"][0]["certainty"] = json!("possible")), ["certainty possible, not at least likely"]);
        assert_eq!(broken_by(|r| r["instances"][0]["state"] = json!("fine")), ["dark: 2, not 1,2"]);
        assert_eq!(broken_by(|r| r["status"] = json!("healthy")), ["status healthy, not fault or ambiguous"]);
        let second = broken_by(|r| r["causes"].as_array_mut().unwrap().insert(0, json!({"code": "mtu-mismatch"})));
        assert_eq!(second, ["uplink-not-in-bridge comes 2., after mtu-mismatch"]);
    }

    #[test]
    fn no_json_slow_or_broken_lab_never_hold() {
        let v = judge(&uplink(), &Run { stdout: "oops".into(), ..run(&good()) });
        assert!(!v.ok && v.why[0].starts_with("darkport printed no JSON"), "{:?}", v.why);
        assert!(!judge(&uplink(), &Run { seconds: 6.0, ..run(&good()) }).ok);
        assert!(!judge(&uplink(), &Run { broken: Some("x".into()), ..run(&good()) }).ok);
    }

    #[test]
    fn a_scenario_whose_own_claim_is_wrong_fails() {
        let v = judge(&uplink(), &Run { truth_dark: vec!["instance-00000001".into()], ..run(&good()) });
        assert_eq!(v.why, ["the scenario's own dark set is wrong: pings say 1, it says 1,2"]);
    }

    #[test]
    fn healthy_means_no_cause_and_nobody_dark() {
        let healthy = scenario("code = \"healthy\"\nstory = \"x\"\ninstances = 2\n[expect]\nexit_code = 0\n");
        let report = json!({"status": "healthy", "instances": [{"name": "instance-00000001", "state": "fine"}], "causes": []});
        let ok = Run { truth_dark: Vec::new(), exit_code: Some(0), ..run(&report) };
        assert!(judge(&healthy, &ok).ok);
        let v = judge(&healthy, &Run { truth_dark: Vec::new(), ..run(&good()) });
        assert!(v.why.iter().any(|w| w == "false alarm: uplink-not-in-bridge"), "{:?}", v.why);
        assert!(v.why.iter().any(|w| w == "exit code 2, not 0"), "{:?}", v.why);
    }

    #[test]
    fn a_darkport_that_had_to_be_ended_does_not_hold() {
        let v = judge(&uplink(), &Run { exit_code: None, ..run(&good()) });
        assert_eq!(v.why, ["darkport did not end by itself within 1 s"]);
    }

    #[test]
    fn the_kernels_reason_must_be_told_where_it_is_wanted() {
        let told = scenario("code = \"unknown\"\nstory = \"x\"\ninstances = 2\n[expect]\ndrops = [\"TC_INGRESS\"]\ndark = \"none\"\n");
        let mut report = json!({"status": "fault", "causes": [], "drops": [{"reason": "TC_INGRESS", "frames": 7}]});
        let nobody = |report: &Value| Run { truth_dark: Vec::new(), ..run(report) };
        assert!(judge(&told, &nobody(&report)).ok);
        report["drops"][0]["frames"] = json!(0);
        assert_eq!(judge(&told, &nobody(&report)).why, ["no frame is told of that the kernel dropped for TC_INGRESS"]);
    }

    #[test]
    fn what_darkens_nobody_may_be_a_note_but_must_be_told() {
        let told = scenario("code = \"inventory-disagrees\"\nstory = \"x\"\ninstances = 2\n[expect]\ndark = \"none\"\n");
        let mut report = json!({"status": "healthy", "causes": [], "notes": [{"code": "inventory-disagrees"}]});
        let nobody = |report: &Value| Run { truth_dark: Vec::new(), ..run(report) };
        assert!(judge(&told, &nobody(&report)).ok);
        report["notes"] = json!([]);
        assert_eq!(judge(&told, &nobody(&report)).why, ["inventory-disagrees is not among the causes (first: none)"]);
    }

    #[test]
    fn unknown_must_not_be_called_healthy_or_proven() {
        let unknown = scenario("code = \"unknown\"\nstory = \"x\"\n");
        assert_eq!(
            judge(&unknown, &run(&json!({"status": "healthy", "causes": []}))).why,
            ["status healthy, not fault or ambiguous or undetermined"]
        );
        assert_eq!(judge(&unknown, &run(&good())).why, ["uplink-not-in-bridge is called proven"]);
    }

    #[test]
    fn two_faults_must_both_be_named_with_their_own_instances() {
        let pair = scenario(
            "code = \"tap-admin-down\"\nstory = \"x\"\n[expect]\ndark = [\"instance-00000001\"]\n[[expect.also]]\ncode = \"tap-not-in-bridge\"\ndark = [\"instance-00000002\"]\n",
        );
        let mut report = good();
        report["causes"] = json!([
            {"code": "tap-not-in-bridge", "explains": ["instance-00000002"]},
            {"code": "tap-admin-down", "explains": ["instance-00000001"]},
        ]);
        let v = judge(&pair, &run(&report));
        assert!(v.ok, "{:?}", v.why);
        report["causes"][0]["explains"] = json!(["instance-00000001"]);
        assert_eq!(judge(&pair, &run(&report)).why, ["tap-not-in-bridge explains 1, not 2"]);
        report["causes"].as_array_mut().unwrap().remove(0);
        assert_eq!(judge(&pair, &run(&report)).why, ["tap-not-in-bridge is not among the causes"]);
    }
}
