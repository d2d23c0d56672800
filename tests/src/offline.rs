//! An observation diagnosed elsewhere must get the answer that it got where it was made.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::{Doing, LabError, Result};
use crate::prepare::tail;

/// What counts of an answer: the status, and each cause's code with its hop and the instances that it explains.
fn essence(report: &Value) -> Value {
    let part = |cause: &Value| ["code", "hop", "certainty", "explains"].map(|key| cause.get(key).cloned().unwrap_or_default());
    let causes = report.get("causes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    serde_json::json!([report.get("status"), causes.iter().map(part).collect::<Vec<_>>()])
}

fn brief(report: &Value) -> String {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("none").to_owned();
    let causes = report.get("causes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let causes: Vec<_> = causes.iter().map(|c| format!("{} ({}, {})", text(c, "code"), text(c, "certainty"), text(c, "hop"))).collect();
    format!("{} [{}]", text(report, "status"), causes.join(", "))
}

/// What differs between the live answer and that of an observation's file; nothing when they are the same.
pub(crate) fn differs(darkport: &Path, observation: &Path, live: &str) -> Result<Option<String>> {
    let output = Command::new(darkport)
        .args(["--json", "--from"])
        .arg(observation)
        .stdin(Stdio::null())
        .output()
        .doing(|| format!("starting {}", darkport.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let Ok(offline) = serde_json::from_str::<Value>(&said) else {
        let error = tail(&String::from_utf8_lossy(&output.stderr), 300);
        return Ok(Some(format!("offline: no answer from {} ({}): {error}", observation.display(), output.status)));
    };
    let live = serde_json::from_str(live).map_err(|e| LabError::Broken(format!("the live answer: {e}")))?;
    Ok(compare(&live, &offline))
}

fn compare(live: &Value, offline: &Value) -> Option<String> {
    (essence(live) != essence(offline)).then(|| {
        let (live, offline) = (brief(live), brief(offline));
        if live == offline {
            format!("offline: {offline} as live, but other instances")
        } else {
            format!("offline: {offline}, live: {live}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_counts_is_compared() {
        let live = json!({"status": "fault", "took": 2, "causes": [{"code": "a", "hop": "tap", "certainty": "proven", "explains": ["i"]}]});
        let mut offline = live.clone();
        offline["took"] = json!(0);
        assert_eq!(compare(&live, &offline), None);
        offline["causes"][0]["explains"] = json!([]);
        assert_eq!(compare(&live, &offline).unwrap(), "offline: fault [a (proven, tap)] as live, but other instances");
        offline["causes"] = json!([]);
        offline["status"] = json!("healthy");
        assert_eq!(compare(&live, &offline).unwrap(), "offline: healthy [], live: fault [a (proven, tap)]");
    }
}
