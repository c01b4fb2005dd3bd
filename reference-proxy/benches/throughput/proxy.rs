//! The proxy as a process.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A proxy that is killed when dropped.
pub struct Proxy {
    process: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Proxy {
    /// Starts one; returns when it listens.
    pub fn start(
        function: SocketAddr,
        args: &[&str],
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cloudstate-reference-proxy"))
            .args(["--listen=127.0.0.1:0", "--passivation-timeout=1h"])
            .arg(format!("--function={function}"))
            .args(args)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("the output is not piped")?;
        let mut line = String::new();
        // The user function has threads of its own to be discovered on meanwhile.
        tokio::task::block_in_place(|| BufReader::new(output).read_line(&mut line))?;
        let address = line.trim().strip_prefix("listening on ");
        let address = address.ok_or_else(|| format!("the proxy said {line:?}"))?;
        Ok(Self {
            process,
            address: address.parse()?,
        })
    }

    /// How much memory it has, as the kernel counts.
    pub fn resident_bytes(&self) -> Result<usize, Box<dyn Error + Send + Sync>> {
        self.bytes_of("VmRSS:")
    }

    /// How much memory it ever had.
    #[allow(dead_code, reason = "one of the two benchmarks has no use for it")]
    pub fn peak_bytes(&self) -> Result<usize, Box<dyn Error + Send + Sync>> {
        self.bytes_of("VmHWM:")
    }

    fn bytes_of(&self, name: &str) -> Result<usize, Box<dyn Error + Send + Sync>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kilobytes.ok_or("no such line")?.trim().parse::<usize>()? * 1024)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may be gone already, and there is nothing to be done about it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
