//! The kit against this proxy: every scenario in the roles `proxy` and `stack` is a test. In a stack the function is
//! the kit's own model function.

use cloudstate_tck::harness;
use cloudstate_tck::system::{Party, System};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let function = Party {
        address: Some(listener.local_addr()?),
        streams: Some(64),
        ..Party::default()
    };
    std::thread::spawn(move || -> std::io::Result<()> {
        tokio::runtime::Runtime::new()?.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let served = cloudstate_tck::model::function::serve(listener, std::future::pending());
            served.await.map_err(std::io::Error::other)
        })
    });
    let command = [
        env!("CARGO_BIN_EXE_cloudstate-reference-proxy"),
        "--listen",
        "{listen}",
        "--function",
        "{function}",
        "--journal",
        "durable",
        "--data-dir",
        "{data}",
        "--relay-timeout",
        "{relay_timeout}ms",
        "--half-close-timeout",
        "{half_close_timeout}ms",
    ];
    let proxy = Party {
        command: command.map(str::to_owned).to_vec(),
        ..Party::default()
    };
    let system = System {
        name: "reference".to_owned(),
        function: Some(function),
        proxy: Some(proxy),
        features: vec!["durable".to_owned()],
        folder: env!("CARGO_MANIFEST_DIR").into(),
        ..System::default()
    };
    harness::main(system).exit()
}
