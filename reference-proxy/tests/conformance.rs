//! The kit against this proxy: every scenario in the roles `proxy` and `stack` is a test. In a stack the function is
//! the kit's own model function.

#[path = "reference/system.rs"]
mod system;

use cloudstate_tck::harness;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    harness::main(system::reference()?).exit()
}
