//! `function`: the model function, served until the user stops it.

use super::{CommandError, Console, arguments, runtime};
use crate::model;
use crate::report::ExitCode;
use tokio::net::TcpListener;

pub(super) fn function(
    arguments: &arguments::FunctionArguments,
    console: &mut Console<'_>,
) -> Result<ExitCode, CommandError> {
    runtime()?.block_on(async {
        let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
            CommandError::kit(format!(
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
            .map_err(|error| CommandError::kit(error.to_string()))?;
        Ok(ExitCode::Pass)
    })
}
