//! Tells the user function what is wrong with it.

use std::time::Duration;

use cloudstate_protocol::cloudstate::UserFunctionError;
use tokio::time::timeout;

use super::connection::Permit;

/// How long the user function may take to accept a report.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Where reports go.
const REPORT_ERROR: &str = "/cloudstate.EntityDiscovery/reportError";

/// Sends a report and waits until it was accepted, for a while.
pub async fn report_on(permit: Permit, message: String) {
    let error = UserFunctionError { message };
    let call = permit.unary::<()>(REPORT_ERROR, &error);
    match timeout(TIMEOUT, call).await {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => tracing::debug!(reason, "a report did not arrive"),
        Err(_) => tracing::debug!("a report was not answered in time"),
    }
}
