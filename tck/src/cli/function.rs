//! `function`: the model function, served until the user stops it.

use super::{Console, Fault, arguments, runtime};
use crate::model;
use crate::report::ExitCode;
use tokio::net::TcpListener;

pub(super) fn function(
    arguments: &arguments::Function,
    console: &mut Console<'_>,
) -> Result<ExitCode, Fault> {
    runtime()?.block_on(async {
        let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
            Fault::kit(format!(
                "{} can't be listened on: {error}",
                arguments.listen
            ))
        })?;
        let address = listener.local_addr().unwrap_or(arguments.listen);
        console.print(&format!("the model function listens on {address}\n"));
        let stopped = async {
            let _ = tokio::signal::ctrl_c().await;
        };
        model::function::serve(listener, stopped)
            .await
            .map_err(|error| Fault::kit(error.to_string()))?;
        Ok(ExitCode::Pass)
    })
}
