//! Entry point of `control-plane`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    control_server::cli::main()
}
