//! With `-v`: the devices that questions and answers passed.

use darkport::model::{Diagnosis, Trace};

use super::Style;
use super::layout::{Line, Paint, show, wrap_to};

const NAME: usize = 48;
const WAY: usize = 400;

pub(super) fn lines(diagnosis: &Diagnosis, style: &Style) -> Vec<Line> {
    let shown = diagnosis.traces.iter().filter(|_| style.verbose);
    let lines = shown.flat_map(|trace| wrap_to(&words(trace), style.room(), style.at_most(4)));
    lines.map(|line| Line::of(Paint::Plain, line)).collect()
}

fn words(trace: &Trace) -> String {
    let whose = if trace.whose.is_empty() { String::new() } else { format!(" ({})", show(&trace.whose, NAME)) };
    let way = |way: &str| if way.is_empty() { "not seen anywhere".to_owned() } else { show(way, WAY) };
    format!(
        "{}{whose} asked for on {}: {} of {} answered; out, in ms: {}; back: {}",
        trace.target,
        show(&trace.bridge, NAME),
        trace.answered,
        trace.sent,
        way(&trace.out),
        way(&trace.back)
    )
}

#[cfg(test)]
mod tests {
    use darkport::model::Status;

    use super::*;
    use crate::report::render;

    #[test]
    fn the_way_is_told_on_demand() {
        let mut diagnosis = Diagnosis::default();
        diagnosis.status = Status::Fault;
        let mut trace = Trace::new("br1102\u{1b}[31m", [10, 68, 16, 1].into());
        (trace.sent, trace.out) = (6, "br1102 0.0, eth1.1102 0.1".to_owned());
        diagnosis.traces.push(trace);
        let text = render(&diagnosis, &Style::default().verbose());
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("0 of 6 answered; out, in ms: br1102 0.0, eth1.1102 0.1; back: not seen anywhere"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(!render(&diagnosis, &Style::default()).contains("TRACE"));
    }
}
