//! `/proc/PID/cmdline`.

use darkport_model::bounded;

const ARGUMENTS_MAX: usize = 256;
const ARGUMENT_MAX: usize = 4096;

/// The arguments, each ended by a NUL; bounds as [`Process::command`](darkport_model::Process) documents.
pub(crate) fn parse_cmdline(text: &str) -> Vec<String> {
    // A process may overwrite its arguments by a title that NULs or spaces follow (`setproctitle`).
    let text = text.trim_end_matches('\0');
    if text.is_empty() {
        return Vec::new();
    }
    text.split('\0').take(ARGUMENTS_MAX).map(|argument| bounded(argument, ARGUMENT_MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arguments_end_with_nul() {
        assert_eq!(parse_cmdline("qemu\0-name\0guest=a b\0\0x\0"), ["qemu", "-name", "guest=a b", "", "x"]);
        assert!(parse_cmdline("").is_empty());
    }

    proptest! {
        #[test]
        fn bounds_hold(text in "(.{0,10}\0){0,300}") {
            prop_assert!(parse_cmdline(&text).len() <= ARGUMENTS_MAX);
        }
    }

    #[test]
    fn a_long_argument_is_cut() {
        assert_eq!(parse_cmdline(&"x".repeat(10_000))[0].chars().count(), ARGUMENT_MAX);
    }
}
