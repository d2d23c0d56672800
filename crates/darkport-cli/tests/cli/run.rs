//! Running the binaries as a person does.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// What a run printed and how it ended.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

pub(crate) fn command(program: &str) -> Command {
    let path = match program {
        "darkport" => env!("CARGO_BIN_EXE_darkport"),
        "darkport-bridge" => env!("CARGO_BIN_EXE_darkport-bridge"),
        "darkport-sweep" => env!("CARGO_BIN_EXE_darkport-sweep"),
        other => panic!("no binary is called {other}"),
    };
    let mut command = Command::new(path);
    // What a test prints must not depend on who runs it.
    command.env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

pub(crate) fn darkport(args: &[&str]) -> Run {
    command("darkport").args(args).stdin(Stdio::null()).output().unwrap().into()
}

pub(crate) fn darkport_with_input(args: &[&str], input: &[u8]) -> Run {
    let mut child = command("darkport").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that fails at once may not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap().into()
}
