//! Every step that a person or continuous integration runs: `cargo xtask up`, `cargo xtask test`, and the checks inside them.
//!
//! Imports no crate of the workspace: it builds them and runs what came out, so it works even where they do not compile.
//! ```sh
//! cargo xtask test        # everything that has to hold
//! cargo xtask up          # a control plane, an agent and a first measurement on this machine
//! ```
#![expect(
    clippy::disallowed_types,
    reason = "starting other programs is what this crate is for; the agent and the server may not"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line for developers speaks on its standard streams"
)]

mod bench;
mod cli;
mod clock;
mod debian;
mod deploy;
mod deps;
mod ebpf;
mod exec;
mod fuzz;
mod kernels;
mod lab;
mod negatives;
mod openapi;
mod peer;
mod suite;
mod tidy;
mod tool;
mod up;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
