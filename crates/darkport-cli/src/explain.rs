//! `darkport explain`: the catalogue of causes.

use std::fmt::Write as _;

use darkport::Explanation;
use darkport::model::{ExitCode, bounded, printable};

use crate::output;
use crate::report::wrap;

const WIDTH: usize = 80;

/// Tells of these causes, or lists all where none is named.
pub(crate) fn run(codes: &[String]) -> std::io::Result<ExitCode> {
    if codes.is_empty() {
        output::print(&list(&darkport::catalogue().collect::<Vec<_>>()))?;
    }
    let mut exit = ExitCode::Ok;
    let mut told = Vec::new();
    for code in codes {
        match darkport::explain(code) {
            Some(explanation) => told.push(one(explanation)),
            None => exit = output::fail("darkport", &NoSuchCause(bounded(&printable(code), 60)), &near(code)),
        }
    }
    output::print(&told.join("\n"))?;
    Ok(exit)
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
