//! The program: everything is in the library.

fn main() -> std::process::ExitCode {
    cloudstate_tck::cli::main()
}
