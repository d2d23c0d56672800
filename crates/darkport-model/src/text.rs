//! Text that a guest, a tenant or a broken file may have written.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Cuts `text` to at most `max` characters, the last of them `…` where something was cut.
///
/// Observing crates pass everything through here that somebody else wrote, so that no name grows an observation without bound.
pub fn bounded(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(std::iter::once('…')).collect()
}

/// `text` as it may be shown to a person: control characters, terminal escapes, line and direction overrides and the other
/// invisible formatting characters are written as `\u{…}`.
///
/// ```
/// assert_eq!(darkport_model::printable("vm\u{1b}[31m1"), r"vm\u{1b}[31m1");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_hostile(character) {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Control characters (Unicode Cc), and the format characters (Cf, Zl, Zp) that reorder or hide text.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_text_is_cut_and_says_so() {
        assert_eq!(bounded("vnet0", 5), "vnet0");
        assert_eq!(bounded("vnet10", 5), "vnet…");
        assert_eq!(bounded("äöü", 2), "ä…");
    }

    proptest! {
        #[test]
        fn shown_text_cannot_steer_a_terminal(text: String) {
            prop_assert!(!printable(&text).chars().any(is_hostile));
        }

        #[test]
        fn a_bound_holds(text: String, max in 1usize..20) {
            prop_assert!(bounded(&text, max).chars().count() <= max);
        }
    }
}
