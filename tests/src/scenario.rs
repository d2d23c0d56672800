//! A scenario file: a fault, and what is true then.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Doing, LabError, Result};

/// How `virt1012` is laid out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Layout {
    /// `eth1` → `eth1.1102` → `br1102` + taps, no address on the bridge.
    #[default]
    NovaNetwork,
    /// `vmbr0` with `vlan_filtering`, `eth1` a trunk port, taps untagged in VLAN 1102.
    VlanAware,
    /// `eth1` + `eth2` → `bond0` → `bond0.1102` → `br1102`.
    Bond,
    /// `virbr0`, 192.168.122.1/24: the host itself is the gateway, no uplink.
    Libvirt,
    /// As nova-network, and the hypervisor carries the gateway's address on `br1102`.
    GatewayOnBridge,
    /// `eth1` itself in `br100`, no VLAN.
    Flat,
}

impl Layout {
    /// Whether it needs no VLAN, bond or VLAN filter, and so runs on the machine's own kernel too.
    pub(crate) fn plain(self) -> bool {
        matches!(self, Self::Libvirt | Self::Flat)
    }

    /// The bridge that the instances hang on.
    pub(crate) fn bridge(self) -> &'static str {
        match self {
            Self::NovaNetwork | Self::Bond | Self::GatewayOnBridge => "br1102",
            Self::VlanAware => "vmbr0",
            Self::Libvirt => "virbr0",
            Self::Flat => "br100",
        }
    }
}

/// Where scenarios run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ground {
    /// In a VM.
    Vm,
    /// In namespaces on the machine's own kernel.
    Host,
}

/// A hypervisor or other host of the lab.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HostName {
    /// The hypervisor that fails.
    #[default]
    Virt1012,
    /// Its healthy neighbour.
    Virt1011,
    /// The network host.
    Labnet1001,
}

impl HostName {
    /// The name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Virt1012 => "virt1012",
            Self::Virt1011 => "virt1011",
            Self::Labnet1001 => "labnet1001",
        }
    }
}

/// How sure a cause must be, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Certainty {
    /// It might be.
    Possible,
    /// It fits best.
    Likely,
    /// The evidence allows nothing else.
    Proven,
}

/// Which instances are dark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Dark {
    /// `"all"` or `"none"`.
    Word(DarkWord),
    /// By name.
    These(Vec<String>),
}

/// `"all"` or `"none"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DarkWord {
    /// Every instance of the host.
    All,
    /// No instance.
    None,
}

/// One value or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    /// One.
    One(String),
    /// Any of these will do.
    More(Vec<String>),
}

impl OneOrMore {
    /// As a slice.
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }
}

/// How pings tell the truth of the dark set.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Truth {
    /// The dark instances get no answer at all.
    #[default]
    CutOff,
    /// The dark instances lose some answers, or the full-size ones.
    Degraded,
    /// Pings cannot show it; `truth_reason` says why.
    Skip,
}

/// A further cause that must be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Also {
    /// Its code.
    pub(crate) code: String,
    /// Its hop, when it matters.
    pub(crate) hop: Option<OneOrMore>,
    /// The instances that it explains.
    pub(crate) dark: Option<Dark>,
}

/// What darkport must say.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    /// The code, when it is not the file's own `code`.
    pub(crate) code: Option<String>,
    /// The hop that is broken; `port` means either kind of bridge port.
    pub(crate) hop: Option<OneOrMore>,
    /// The instances that are dark.
    pub(crate) dark: Option<Dark>,
    /// The least certainty of the first cause.
    pub(crate) certainty: Option<Certainty>,
    /// The status, when it is not what the code implies.
    pub(crate) status: Option<OneOrMore>,
    /// The longest that darkport may take.
    pub(crate) max_seconds: Option<f64>,
    /// darkport's exit code.
    pub(crate) exit_code: Option<i32>,
    /// Codes of notes that must be there.
    pub(crate) notes: Vec<String>,
    /// Reasons of the kernel's for which it must have dropped frames while darkport probed.
    pub(crate) drops: Vec<String>,
    /// Further causes.
    pub(crate) also: Vec<Also>,
}

/// A scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Its name: the file's path below the directory that was given, without `.toml`.
    #[serde(skip)]
    pub(crate) name: String,
    /// The cause that must come first; `healthy`; or `unknown`.
    pub(crate) code: String,
    /// What happened, in a sentence.
    pub(crate) story: String,
    /// Where darkport runs.
    #[serde(default)]
    pub(crate) run_on: HostName,
    /// How virt1012 is laid out.
    #[serde(default)]
    pub(crate) layout: Layout,
    /// How many instances virt1012 has.
    #[serde(default = "six")]
    pub(crate) instances: u16,
    /// Instances are bare ports: no stack behind them, no process, no health check.
    #[serde(default)]
    pub(crate) bare: bool,
    /// STP on, and converged before the fault.
    #[serde(default)]
    pub(crate) stp: bool,
    /// The instances send nothing of their own.
    #[serde(default)]
    pub(crate) idle: bool,
    /// virt1012's wire is bad: this many broken frames a second reach eth1 once the fault is in.
    pub(crate) wire_errors: Option<u32>,
    /// What the first instance is: `"qemu"` for a real guest (host ground only).
    pub(crate) guest: Option<GuestKind>,
    /// Where it can run; otherwise its layout decides.
    pub(crate) grounds: Option<Vec<Ground>>,
    /// Shell commands before the health check.
    #[serde(default)]
    pub(crate) before: Vec<String>,
    /// Shell commands that break it.
    #[serde(default)]
    pub(crate) fault: Vec<String>,
    /// Shell commands that keep running while darkport runs.
    #[serde(default)]
    pub(crate) background: Vec<String>,
    /// Shell commands that undo what outlives the hosts (global sysctls).
    #[serde(default)]
    pub(crate) after: Vec<String>,
    /// How long the fault settles, in milliseconds.
    #[serde(default = "settle")]
    pub(crate) settle_ms: u64,
    /// darkport's further arguments.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// Files on the host where darkport runs.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// Who runs darkport.
    pub(crate) user: Option<String>,
    /// Why the fault cannot be made for real; `observation_patch` then makes it.
    pub(crate) synthetic: Option<String>,
    /// A JSON merge patch (RFC 7396) on the observation that darkport saved.
    pub(crate) observation_patch: Option<String>,
    /// How pings tell the truth.
    #[serde(default)]
    pub(crate) truth: Truth,
    /// Why they cannot.
    pub(crate) truth_reason: Option<String>,
    /// What darkport must say.
    #[serde(default)]
    pub(crate) expect: Expect,
}

/// What stands behind an instance's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GuestKind {
    /// A real qemu with a real kernel.
    Qemu,
}

fn six() -> u16 {
    6
}

fn settle() -> u64 {
    300
}

/// The hops that a cause can sit on, as darkport's JSON names them, and `port` for either kind of bridge port.
const HOPS: &[&str] = &[
    "guest",
    "tap",
    "tap-port",
    "bridge",
    "uplink-port",
    "vlan-device",
    "bond",
    "nic",
    "wire",
    "network-host",
    "gateway",
    "host",
    "control",
    "port",
];

impl Scenario {
    /// The code that must come first.
    pub(crate) fn expected(&self) -> &str {
        self.expect.code.as_deref().unwrap_or(&self.code)
    }

    /// Why it cannot run on a ground, if it cannot.
    pub(crate) fn not_on(&self, ground: Ground) -> Option<String> {
        if self.guest == Some(GuestKind::Qemu) && ground == Ground::Vm {
            return Some("a real qemu guest inside the VM would be emulated twice".into());
        }
        if ground == Ground::Host && !self.after.is_empty() {
            return Some("it changes what the whole machine shares".into());
        }
        match &self.grounds {
            Some(grounds) if grounds.contains(&ground) => None,
            Some(_) => Some("the scenario names other grounds".into()),
            None if ground == Ground::Vm || (self.layout.plain() && !self.bare) => None,
            None => Some("its layout needs VLAN devices, which the machine's own kernel may lack".into()),
        }
    }

    /// Reads one file's text.
    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self> {
        let mut scenario: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            LabError::Scenario(format!("{}:{line}: {}", file.display(), error.message().trim()))
        })?;
        scenario.check().map_err(|(key, what)| LabError::Scenario(format!("{}:{}: {what}", file.display(), line_of_key(text, key))))?;
        scenario.name = file.with_extension("").to_string_lossy().into_owned();
        Ok(scenario)
    }

    fn check(&self) -> std::result::Result<(), (&'static str, String)> {
        code(&self.code).map_err(|what| ("code", what))?;
        if let Some(expected) = &self.expect.code {
            code(expected).map_err(|what| ("code", what))?;
        }
        if self.story.trim().is_empty() {
            return Err(("story", "`story`: expected a sentence that says what happened".into()));
        }
        if self.instances == 0 || self.instances > 2000 {
            return Err(("instances", format!("`instances`: expected 1 to 2000, found {}", self.instances)));
        }
        let hops = self.expect.hop.iter().chain(self.expect.also.iter().filter_map(|a| a.hop.as_ref()));
        for hop in hops.flat_map(OneOrMore::as_slice) {
            if !HOPS.contains(&hop.as_str()) {
                return Err(("hop", format!("`hop`: expected one of {}, found \"{hop}\"", HOPS.join(", "))));
            }
        }
        for status in self.expect.status.iter().flat_map(OneOrMore::as_slice) {
            if !["healthy", "fault", "ambiguous", "undetermined"].contains(&status.as_str()) {
                return Err(("status", format!("`status`: expected healthy, fault, ambiguous or undetermined, found \"{status}\"")));
            }
        }
        for also in &self.expect.also {
            code(&also.code).map_err(|what| ("also", what))?;
        }
        if self.truth == Truth::Skip && self.truth_reason.is_none() {
            return Err(("truth", "`truth = \"skip\"`: expected a `truth_reason` that says why pings cannot show it".into()));
        }
        if self.synthetic.is_some() != self.observation_patch.is_some() {
            return Err((
                "observation_patch",
                "`observation_patch`: expected together with `synthetic = \"why it cannot be made for real\"`".into(),
            ));
        }
        if let Some(patch) = &self.observation_patch {
            serde_json::from_str::<serde_json::Value>(patch)
                .map_err(|error| ("observation_patch", format!("`observation_patch`: expected a JSON merge patch: {error}")))?;
        }
        if self.wire_errors.is_some() && !matches!(self.layout, Layout::NovaNetwork | Layout::GatewayOnBridge) {
            return Err(("wire_errors", "`wire_errors`: expected the layout nova-network or gateway-on-bridge".into()));
        }
        for path in self.files.keys() {
            if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err(("files", format!("`files`: expected an absolute path, found \"{path}\"")));
            }
        }
        Ok(())
    }
}

fn code(code: &str) -> std::result::Result<(), String> {
    let good = !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good { Ok(()) } else { Err(format!("`code`: expected a cause such as \"uplink-not-in-bridge\", or \"healthy\", found \"{code}\"")) }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1
}

fn line_of_key(text: &str, key: &str) -> usize {
    text.lines().position(|line| line.trim_start().trim_start_matches('[').starts_with(key)).map_or(1, |at| at + 1)
}

/// Reads the scenarios at the given paths: files as they are, directories with all below them.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = files.len();
            collect(path, path, &mut files)?;
            if files.len() == before {
                return Err(LabError::Scenario(format!("{}: no *.toml below it", path.display())));
            }
        } else {
            files.push((path.clone(), PathBuf::from(path.file_name().unwrap_or_default())));
        }
    }
    let mut scenarios = Vec::new();
    let mut errors = Vec::new();
    for (path, name) in files {
        let text = fs::read_to_string(&path).doing(|| format!("reading {}", path.display()));
        match text.and_then(|text| Scenario::parse(&text, &path)) {
            Ok(mut scenario) => {
                scenario.name = name.with_extension("").to_string_lossy().into_owned();
                scenarios.push(scenario);
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() { Ok(scenarios) } else { Err(LabError::Scenario(errors.join("\n"))) }
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<(PathBuf, PathBuf)>) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .doing(|| format!("reading {}", dir.display()))?
        .into_iter()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if path.extension().is_some_and(|e| e == "toml") {
            let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
            files.push((path, name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Scenario::parse(text, Path::new("x.toml")).unwrap_err().to_string()
    }

    #[test]
    fn the_smallest_scenario() {
        let s = Scenario::parse("code = \"healthy\"\nstory = \"all is well\"\n", Path::new("a/b.toml")).unwrap();
        assert_eq!((s.instances, s.layout, s.run_on), (6, Layout::NovaNetwork, HostName::Virt1012));
        assert_eq!(s.expected(), "healthy");
    }

    #[test]
    fn errors_name_file_line_and_what_was_expected() {
        let e = error("code = \"healthy\"\nstory = \"x\"\nlayuot = \"bond\"\n");
        assert!(e.starts_with("x.toml:3: unknown field `layuot`, expected one of"), "{e}");
        let e = error("code = \"healthy\"\nstory = \"x\"\nlayout = \"ovs\"\n");
        assert!(e.starts_with("x.toml:3: unknown variant `ovs`, expected one of"), "{e}");
        let e = error("code = \"healthy\"\nstory = \"x\"\n[expect]\nhop = \"uplnk\"\n");
        assert!(e.starts_with("x.toml:4: `hop`: expected one of guest"), "{e}");
        let e = error("code = \"Not A Code\"\nstory = \"x\"\n");
        assert!(e.starts_with("x.toml:1: `code`: expected a cause"), "{e}");
        let e = error("code = \"healthy\"\nstory = \"x\"\ntruth = \"skip\"\n");
        assert!(e.starts_with("x.toml:3: `truth = \"skip\"`: expected a `truth_reason`"), "{e}");
        let e = error("code = \"healthy\"\nstory = [\n");
        assert!(e.starts_with("x.toml:2") || e.starts_with("x.toml:3"), "{e}");
    }

    #[test]
    fn what_changes_the_machine_never_runs_on_its_own_kernel() {
        let text = "code = \"x\"\nstory = \"x\"\nlayout = \"flat\"\ngrounds = [\"host\", \"vm\"]\n";
        let parse = |text: &str| Scenario::parse(text, Path::new("x")).unwrap();
        assert_eq!(parse(text).not_on(Ground::Host), None);
        let global = parse(&format!("{text}after = [\"sysctl -q -w net.core.netdev_max_backlog=1000\"]\n"));
        assert!(global.not_on(Ground::Host).is_some());
        assert_eq!(global.not_on(Ground::Vm), None);
    }

    #[test]
    fn one_or_more_hops() {
        let s =
            Scenario::parse("code = \"x\"\nstory = \"x\"\n[expect]\nhop = [\"nic\", \"port\"]\ndark = \"all\"\n", Path::new("x")).unwrap();
        assert_eq!(s.expect.hop.unwrap().as_slice(), ["nic", "port"]);
        assert_eq!(s.expect.dark, Some(Dark::Word(DarkWord::All)));
    }
}
