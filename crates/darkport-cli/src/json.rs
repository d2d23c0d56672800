//! JSON that is safe to print on a terminal.

use std::io::{self, Write};

use darkport::model::printable;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// `value` as JSON on one line. serde escapes what JSON demands; the other characters that steer a terminal or reorder text (DEL, C1
/// controls, direction overrides) are escaped here, which any JSON reader takes back.
pub(crate) fn line(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Harmless))?;
    bytes.push(b'\n');
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if matches!(printable(fragment), std::borrow::Cow::Borrowed(_)) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            let mut buffer = [0; 4];
            let text = character.encode_utf8(&mut buffer);
            if matches!(printable(text), std::borrow::Cow::Borrowed(_)) {
                writer.write_all(text.as_bytes())?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes_what_steers_a_terminal_and_reads_back() {
        let hostile = "a\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\u{e0001}ä\"\\z";
        let text = super::line(&hostile).unwrap();
        assert_eq!(text, "\"a\\u001b[31m\\u009b2J\\u007f\\u202e\\udb40\\udc01ä\\\"\\\\z\"\n");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
    }
}
