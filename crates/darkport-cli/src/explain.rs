//! `darkport explain`: the catalogue of causes.

use std::fmt::Write as _;

use darkport::Explanation;
use darkport::model::{ExitCode, bounded, printable};

use crate::output;
use crate::report::wrap;

const WIDTH: usize = 80;

/// Tells of one cause, or lists them all.
pub(crate) fn run(code: Option<&str>) -> std::io::Result<ExitCode> {
    let Some(code) = code else {
        output::print(&list(&darkport::catalogue().collect::<Vec<_>>()))?;
        return Ok(ExitCode::Ok);
    };
    if let Some(explanation) = darkport::explain(code) {
        output::print(&one(explanation))?;
        return Ok(ExitCode::Ok);
    }
    Ok(output::fail("darkport", &NoSuchCause(bounded(&printable(code), 60)), &near(code)))
}

#[derive(Debug, thiserror::Error)]
#[error("no cause has the code {0:?}")]
struct NoSuchCause(String);

fn near(code: &str) -> String {
    let close: Vec<&str> = darkport::catalogue()
        .map(|explanation| explanation.code)
        .filter(|known| known.split('-').any(|word| word.len() > 3 && code.contains(word)))
        .take(5)
        .collect();
    if close.is_empty() {
        "Next: `darkport explain` lists all causes.".into()
    } else {
        format!("Next: did you mean {}? `darkport explain` lists all causes.", close.join(", "))
    }
}

fn list(catalogue: &[&Explanation]) -> String {
    let widest = catalogue.iter().map(|explanation| explanation.code.len()).max().unwrap_or(0);
    let mut text = String::new();
    for explanation in catalogue {
        let lines = wrap(explanation.what, WIDTH.saturating_sub(widest + 2));
        for (number, line) in lines.iter().enumerate() {
            let code = if number == 0 { explanation.code } else { "" };
            let _ = writeln!(text, "{code:widest$}  {line}");
        }
    }
    text
}

fn one(explanation: &Explanation) -> String {
    let mut text = format!("{}  (at: {})\n", explanation.code, explanation.hop);
    for (label, words) in [("WHAT", explanation.what), ("PROOF", explanation.proof), ("FIX", explanation.fix)] {
        for (number, line) in wrap(words, WIDTH - 7).iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            let _ = writeln!(text, "{label:7}{line}");
        }
    }
    text
}
