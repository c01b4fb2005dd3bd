//! The model function, certified in the role sdk: every scenario is a test.

use cloudstate_tck::harness;
use cloudstate_tck::system::{PartyConfig, System};

fn main() {
    let command = [
        env!("CARGO_BIN_EXE_cloudstate-tck"),
        "function",
        "--listen",
        "{listen}",
    ];
    let function = PartyConfig {
        command: command.map(str::to_owned).to_vec(),
        streams: Some(32),
        ..PartyConfig::default()
    };
    let system = System {
        name: "model function".to_owned(),
        function: Some(function),
        folder: env!("CARGO_MANIFEST_DIR").into(),
        ..System::default()
    };
    harness::main(system).exit();
}
