//! What an instance that darkport played could do: a line for each, and with `-v` one for each thing that it tried.

use std::fmt::Write as _;

use darkport::model::{Diagnosis, PlayedInstance, PlayedTest};

use super::Style;
use super::layout::{Line, Paint, show, wrap_to};

const NAME: usize = 48;
const DETAIL: usize = 160;
const WAY: usize = 400;

pub(super) fn lines(diagnosis: &Diagnosis, style: &Style) -> Vec<Line> {
    let mut sentences = Vec::new();
    for played in &diagnosis.played {
        sentences.push(words(played));
        if style.verbose {
            sentences.extend(played.tests.iter().map(one));
        }
    }
    let lines = sentences.iter().flat_map(|sentence| wrap_to(sentence, style.room(), style.at_most(3)));
    lines.map(|line| Line::of(Paint::Plain, line)).collect()
}

fn words(played: &PlayedInstance) -> String {
    let named = |fits: fn(&PlayedTest) -> bool| {
        let names: Vec<String> = played.tests.iter().filter(|test| fits(test)).map(|test| test.kind.to_string()).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    let vlan = played.vid.map(|vid| format!(", VLAN {vid}")).unwrap_or_default();
    let address = played.address.map(|address| format!(" as {address}")).unwrap_or_default();
    let mut words = format!("an instance on {}{vlan}{address} was answered: {}", show(&played.bridge, NAME), named(|test| test.passed > 0));
    if played.tests.iter().any(|test| test.tries > 0 && test.passed == 0) {
        let _ = write!(words, "; not: {}", named(|test| test.tries > 0 && test.passed == 0));
    }
    if let Some(first) = played.tests.iter().find(|test| test.tries == 0) {
        let _ = write!(words, "; could not try: {} ({})", named(|test| test.tries == 0), show(&first.seen, DETAIL));
    }
    words
}

fn one(test: &PlayedTest) -> String {
    let target = test.target.map(|target| format!(" ({target})")).unwrap_or_default();
    let mut words = format!("  {}{target}: {} of {}", test.kind, test.passed, test.tries);
    if !test.seen.is_empty() {
        let _ = write!(words, ", {}", show(&test.seen, DETAIL));
    }
    for (name, way) in [("out", &test.out), ("back", &test.back)] {
        if !way.is_empty() {
            let _ = write!(words, "; {name}: {}", show(way, WAY));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use darkport::model::{Status, TestKind};

    use super::*;
    use crate::report::render;

    fn diagnosis() -> Diagnosis {
        let mut played = PlayedInstance::new("br1102");
        let test = |kind, tries, passed, seen: &str| {
            let mut test = PlayedTest::new(kind);
            (test.tries, test.passed, test.seen) = (tries, passed, seen.to_owned());
            test
        };
        played.tests = vec![
            test(TestKind::Dhcp, 4, 0, "no offer"),
            test(TestKind::ArpGateway, 5, 5, "02:00:00:00:00:01 answers"),
            test(TestKind::PingGateway, 0, 0, "it has no address\u{1b}[31m"),
        ];
        played.tests[1].out = "its port 0.0, eth1.1102 0.1, eth1 with tag 1102 0.1".to_owned();
        let mut diagnosis = Diagnosis::default();
        diagnosis.status = Status::Healthy;
        diagnosis.played.push(played);
        diagnosis
    }

    #[test]
    fn what_it_could_do_is_one_sentence() {
        let text = render(&diagnosis(), &Style::default().width(120));
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let told =
            "PLAYED an instance on br1102 was answered: gateway by ARP; not: DHCP; could not try: gateway by ping (it has no address";
        assert!(text.contains(told) && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn everything_tells_the_way_too() {
        let text = render(&diagnosis(), &Style::default().verbose());
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("gateway by ARP: 5 of 5, 02:00:00:00:00:01 answers; out: its port 0.0, eth1.1102 0.1, eth1 with tag 1102 0.1"),
            "{text}"
        );
    }
}
