//! The path of an instance's frames, drawn in one line.

use darkport::model::{Diagnosis, Hop, HopKind, HopState, Path};

use super::layout::{Line, Paint, show};

/// The path that shows the first cause best: one on which frames die, of an instance that the cause explains.
pub(super) fn representative(diagnosis: &Diagnosis) -> Option<&Path> {
    let cause = diagnosis.causes.first();
    let weight = |instance: &str, path: &Path| {
        let explained = cause.is_some_and(|cause| cause.explains.iter().any(|name| name == instance));
        let marked = cause.is_some_and(|cause| path.hops.iter().any(|hop| hop.kind == cause.hop && hop.state >= HopState::Lossy));
        let worst = path.hops.iter().map(|hop| hop.state).filter(|state| *state != HopState::Unseen).max();
        (explained, marked, worst)
    };
    let paths = diagnosis.instances.iter().flat_map(|instance| instance.paths.iter().map(|path| (instance.name.as_str(), path)));
    let mut best: Option<(_, &Path)> = None;
    for (instance, path) in paths {
        let weight = weight(instance, path);
        // The first of equals, so that the same observation always draws the same path.
        if best.as_ref().is_none_or(|(heaviest, _)| weight > *heaviest) {
            best = Some((weight, path));
        }
    }
    best.map(|(_, path)| path)
}

/// A path as lines of at most `width` characters.
pub(super) fn draw(path: &Path, width: usize) -> Vec<Line> {
    let mut lines = vec![Line::default()];
    // A tap that is a port of no bridge is whole itself: frames die behind it.
    let unported = !path.hops.iter().any(|hop| hop.kind == HopKind::TapPort);
    let severed = |hop: &Hop| unported && hop.kind == HopKind::Tap && hop.state == HopState::Broken;
    let hops = joined(path);
    for (number, hop) in hops.iter().enumerate() {
        let behind = number.checked_sub(1).and_then(|before| hops.get(before)).is_some_and(severed);
        let name = show(&hop.name, if hop.kind == HopKind::Guest { 24 } else { 20 });
        let (sign, name, paint) = match hop.state {
            _ if severed(hop) => ("─ ", name, Paint::Bad),
            _ if behind => ("─✗ ", name, Paint::Plain),
            HopState::Broken => ("─✗ ", name, Paint::Bad),
            HopState::Lossy => ("─! ", name, Paint::Warn),
            HopState::Unseen => ("─ ", format!("({name})"), Paint::Dim),
            _ => ("─ ", name, Paint::Plain),
        };
        let sign = if number == 0 { sign.trim_start_matches('─').trim_start().to_owned() } else { format!(" {sign}") };
        let piece = Line::of(paint, sign).then(paint, name);
        match lines.last_mut() {
            Some(line) if line.width() + piece.width() <= width => line.0.extend(piece.0),
            _ => lines.push(Line::of(Paint::Plain, "  ").join(piece)),
        }
    }
    if let (Some(line), true) = (lines.last_mut(), hops.last().is_some_and(severed)) {
        line.0.push((Paint::Bad, " ─✗".into()));
    }
    lines.retain(|line| !line.0.is_empty());
    lines
}

/// The hops with those of one name next to each other made one: a tap and the same tap as a port are one device.
fn joined(path: &Path) -> Vec<Hop> {
    let mut hops: Vec<Hop> = Vec::new();
    for hop in &path.hops {
        match hops.last_mut() {
            Some(last) if last.name == hop.name => {
                let (a, b) = (last.state, hop.state);
                // What is known of one of them says more than that the other was not looked at.
                last.state = if a == HopState::Unseen || (b != HopState::Unseen && b > a) { b } else { a };
            }
            _ => hops.push(hop.clone()),
        }
    }
    hops
}

impl Line {
    fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}
