//! The reference proxy before the kit's own model function: what the conformance tests certify.

use cloudstate_tck::system::{PartyConfig, System};
use std::net::TcpListener;

/// The function serves until the test ends; the proxy is started by the kit.
pub fn reference() -> std::io::Result<System> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let function = PartyConfig {
        address: Some(listener.local_addr()?),
        streams: Some(64),
        ..PartyConfig::default()
    };
    std::thread::spawn(move || -> std::io::Result<()> {
        tokio::runtime::Runtime::new()?.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let served = cloudstate_tck::model::function::serve(listener, std::future::pending());
            served.await.map_err(std::io::Error::other)
        })
    });
    Ok(before(function))
}

/// The reference proxy before this function.
pub fn before(function: PartyConfig) -> System {
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
    System {
        name: "reference".to_owned(),
        function: Some(function),
        proxy: Some(PartyConfig::started_by(command.map(str::to_owned).to_vec())),
        features: vec!["durable".to_owned()],
        folder: env!("CARGO_MANIFEST_DIR").into(),
        ..System::default()
    }
}
