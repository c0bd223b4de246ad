//! What stands in for a shadow's upstreams, and the recorder that a stub's answers come from.

use super::Exit;
use super::args::RecordArgs;
use super::signals::until_signal;
use crate::load::upstreams::{Production, record as pass_on, serve};
use crate::settings;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    let one = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    one.map_err(|e| Exit::failed(&e))
}

/// The task beside a shadow's own; until a signal.
pub fn stand_in() -> Result<ExitCode, Exit> {
    runtime()?.block_on(async {
        let cancel = CancellationToken::new();
        tokio::spawn(until_signal(cancel.clone()));
        let served = serve(settings::access, cancel).await;
        served.map_err(|e| Exit::failed(&e))?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What was recorded: the first exchange of each method and path.
struct Tape {
    file: File,
    known: BTreeSet<(String, String)>,
}

/// Passes everything on, and keeps the first answer of each kind; until a signal.
pub fn record(args: RecordArgs) -> Result<ExitCode, Exit> {
    let out = args.out.display().to_string();
    let file = File::options().create(true).append(true).open(&args.out);
    let file = file.map_err(|e| Exit::usage(format!("cannot write {out}: {e}")))?;
    let tape = Arc::new(Mutex::new(Tape {
        file,
        known: BTreeSet::new(),
    }));
    runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen).await;
        let listener = listener.map_err(|e| {
            let at = args.listen;
            Exit::usage(format!(
                "cannot listen on {at}: {e}; choose another --listen"
            ))
        })?;
        let at = listener.local_addr().map_err(|e| Exit::failed(&e))?;
        let to = Production::new(&args.to, args.dns, None).map_err(Exit::usage)?;
        eprintln!(
            "record: http://{at} passes to {}, answers are kept in {out}",
            args.to
        );
        let cancel = CancellationToken::new();
        tokio::spawn(until_signal(cancel.clone()));
        let kept = tape.clone();
        let keep = move |exchange: &crate::model::Exchange| {
            let mut tape = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let kind = (exchange.method.clone(), exchange.path.clone());
            let line = serde_json::to_string(exchange).unwrap_or_default();
            if tape.known.insert(kind)
                && let Err(e) = writeln!(tape.file, "{line}")
            {
                tracing::warn!("an exchange is not kept: {e}");
            }
        };
        pass_on(listener, to, keep, cancel).await;
        let tape = tape.lock().unwrap_or_else(PoisonError::into_inner);
        eprintln!("record: {} exchanges", tape.known.len());
        Ok(ExitCode::SUCCESS)
    })
}
