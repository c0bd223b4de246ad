//! Signals that end a command.

use tokio_util::sync::CancellationToken;

/// Ctrl-C or SIGTERM.
pub async fn until_signal(cancel: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return;
    };
    let name = tokio::select! {
        _ = tokio::signal::ctrl_c() => "SIGINT",
        _ = term.recv() => "SIGTERM",
    };
    tracing::info!("{name} asks for the end");
    cancel.cancel();
}
