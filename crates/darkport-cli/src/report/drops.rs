//! What the kernel says of the frames that it dropped: evidence for a place, told nowhere else unless everything is.

use darkport::model::{Diagnosis, KernelDrop};

use super::Style;
use super::layout::{Line, Paint, show, wrap_to};

const NAME: usize = 48;
/// More of them help nobody who has one screen.
const FEW: usize = 2;

/// Under a place without a cause what rose while darkport asked and is no ordinary end; with `-v` all.
pub(super) fn lines(diagnosis: &Diagnosis, style: &Style) -> Vec<Line> {
    let shown: Vec<&KernelDrop> = if style.verbose {
        diagnosis.drops.iter().collect()
    } else if diagnosis.place.is_some() && diagnosis.causes.is_empty() {
        diagnosis.drops.iter().filter(|drop| drop.stands_out() && !drop.is_usual()).take(FEW).collect()
    } else {
        Vec::new()
    };
    let lines = shown.into_iter().flat_map(|drop| wrap_to(&words(drop, style.verbose), style.room(), style.at_most(2)));
    lines.map(|line| Line::of(Paint::Plain, line)).collect()
}

fn words(drop: &KernelDrop, all: bool) -> String {
    let protocol = match drop.protocol {
        0x0806 => "ARP ".to_owned(),
        0x0800 => "IPv4 ".to_owned(),
        0x8100 | 0x88a8 => "tagged ".to_owned(),
        0 => String::new(),
        other => format!("0x{other:04x} "),
    };
    let noun = if drop.frames == 1 { "frame" } else { "frames" };
    let place = match (drop.reason.as_str(), drop.function.as_str()) {
        ("", "") => String::new(),
        ("", function) => format!(" in {}", show(function, NAME)),
        (reason, "") => format!(": {}", show(reason, NAME)),
        (reason, function) => format!(": {} in {}", show(reason, NAME), show(function, NAME)),
    };
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let against = if all {
        format!(" ({:.1} s; {} in {:.1} s before)", seconds(drop.over_ms), drop.before, seconds(drop.before_ms))
    } else {
        String::new()
    };
    format!("the kernel dropped {} {protocol}{noun} meanwhile{place}{against}", drop.frames)
}

#[cfg(test)]
mod tests {
    use darkport::model::{HopKind, Place, Status};

    use super::*;
    use crate::report::render;

    fn drop(reason: &str, function: &str, frames: u32) -> KernelDrop {
        let mut drop = KernelDrop::new(reason, function);
        (drop.protocol, drop.frames, drop.over_ms, drop.before_ms) = (0x0806, frames, 2000, 1000);
        drop
    }

    fn diagnosis(drops: Vec<KernelDrop>) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        diagnosis.status = Status::Fault;
        diagnosis.place = Some(Place::new(HopKind::Nic, "eth1", "seen at eth1.1102, never at eth1"));
        diagnosis.drops = drops;
        diagnosis
    }

    fn told(diagnosis: &Diagnosis, style: &Style) -> Vec<String> {
        render(diagnosis, style).lines().filter(|line| line.contains("the kernel dropped")).map(str::to_owned).collect()
    }

    #[test]
    fn a_place_has_the_kernels_word_beside_it() {
        let mut seen = diagnosis(vec![drop("NOT_SPECIFIED", "br_flood", 40), drop("TC_INGRESS", "__netif_receive_skb_core", 7)]);
        let line = "DROPS     the kernel dropped 7 ARP frames meanwhile: TC_INGRESS in __netif_receive_skb_core";
        assert_eq!(told(&seen, &Style::default().width(100)), [line]);
        assert_eq!(told(&seen, &Style::default().width(100).verbose()).len(), 2);
        seen.place = None;
        assert!(told(&seen, &Style::default()).is_empty(), "without a place it says nothing");
        assert_eq!(told(&seen, &Style::default().verbose()).len(), 2);
    }

    #[test]
    fn what_was_dropped_before_too_is_no_evidence() {
        let mut usual = drop("NETFILTER_DROP", "nf_hook_slow", 40);
        usual.before = 20;
        assert!(told(&diagnosis(vec![usual]), &Style::default()).is_empty());
    }

    #[test]
    fn an_old_kernel_names_the_function_only_and_one_that_hides_its_addresses_the_reason() {
        let words = |drop| told(&diagnosis(vec![drop]), &Style::default()).concat();
        let (old, hidden) = (words(drop("", "nf_hook_slow", 9)), words(drop("TC_INGRESS", "", 9)));
        assert_eq!(old, "DROPS     the kernel dropped 9 ARP frames meanwhile in nf_hook_slow");
        assert_eq!(hidden, "DROPS     the kernel dropped 9 ARP frames meanwhile: TC_INGRESS");
        assert_eq!(words(drop("NOT_SPECIFIED", "br_pass_frame_up", 9)), "", "an ordinary end");
    }

    #[test]
    fn a_saved_file_can_name_them_as_it_likes() {
        let evil = diagnosis(vec![drop("\u{1b}[2J", &"x".repeat(9999), 9)]);
        let text = render(&evil, &Style::default());
        assert!(!text.contains('\u{1b}') && text.len() < 4000, "{text}");
    }
}
