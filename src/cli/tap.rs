//! `tap`: the proxy that copies a share of production's requests to a shadow.

use super::Exit;
use super::args::{Format, TapArgs};
use super::signals::until_signal;
use crate::load::tap::{TapConfig, safe, secrets, serve};
use crate::load::{Counts, Tally};
use hyper::{Method, Uri};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Until production has begun to answer; longer than most services allow themselves.
const PATIENCE: Duration = Duration::from_secs(60);
const COPY_PATIENCE: Duration = Duration::from_secs(10);

pub fn tap(args: TapArgs) -> Result<ExitCode, Exit> {
    let config = config(&args)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Exit::failed(&e))?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(args.listen)
            .await
            .map_err(|e| {
                Exit::usage(format!(
                    "cannot listen on {}: {e}; choose another --listen",
                    args.listen
                ))
            })?;
        let at = listener.local_addr().map_err(|e| Exit::failed(&e))?;
        eprintln!(
            "tap: http://{at} passes to {}, {}% of {} is copied to {}",
            config.production,
            args.share,
            names(&config.methods),
            config.shadow
        );
        let (tally, cancel) = (Arc::new(Tally::default()), CancellationToken::new());
        tokio::spawn(until_signal(cancel.clone()));
        let serving = tokio::spawn(serve(listener, config, tally.clone(), cancel.clone()));
        while tokio::time::timeout(args.every, cancel.cancelled())
            .await
            .is_err()
        {
            say(&tally.counts(), args.format);
        }
        // It ends with the signal.
        let _ = serving.await;
        say(&tally.counts(), args.format);
        Ok(ExitCode::SUCCESS)
    })
}

fn names(methods: &[Method]) -> String {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.join(", ")
}

fn config(args: &TapArgs) -> Result<TapConfig, Exit> {
    if !(0.0..=100.0).contains(&args.share) {
        return Err(Exit::usage("--share is a percentage from 0 to 100"));
    }
    let methods = match args.methods.is_empty() {
        true => safe(),
        false => args
            .methods
            .iter()
            .map(|m| {
                m.to_uppercase()
                    .parse()
                    .map_err(|_| Exit::usage(format!("{m:?} is no HTTP method")))
            })
            .collect::<Result<_, _>>()?,
    };
    let mut scrub = secrets();
    for rule in &args.scrub {
        scrub.push(rule.parse().map_err(Exit::usage)?);
    }
    Ok(TapConfig {
        production: origin("--to", &args.to)?,
        shadow: origin("--shadow", &args.shadow)?,
        share: args.share / 100.0,
        methods,
        scrub,
        queue: args.queue,
        timeout: PATIENCE,
        copy_timeout: COPY_PATIENCE,
        seed: args.seed,
    })
}

/// `http://host:port`, without a path.
fn origin(flag: &str, text: &str) -> Result<Uri, Exit> {
    let uri: Uri = text
        .parse()
        .map_err(|e| Exit::usage(format!("{flag} {text}: {e}")))?;
    let plain = uri.scheme_str() == Some("http")
        && uri.authority().is_some()
        && matches!(uri.path(), "" | "/");
    match plain {
        true => Ok(uri),
        false => Err(Exit::usage(format!(
            "{flag} {text}: give http://HOST:PORT, without a path"
        ))),
    }
}

fn say(c: &Counts, format: Format) {
    match format {
        // Plain counts cannot fail to be written as JSON.
        Format::Json => println!("{}", serde_json::to_string(c).unwrap_or_default()),
        Format::Text => println!(
            "{} requests, {} without an answer; {} copies compared: {} alike, {} of another status, {} of another size, {} unanswered; {} dropped; \
             p50 {:.1} ms against {:.1}, p99 {:.1} against {:.1}",
            c.requests,
            c.unreachable,
            c.compared,
            c.same,
            c.status_differs,
            c.size_differs,
            c.silent,
            c.dropped,
            c.shadow_p50,
            c.production_p50,
            c.shadow_p99,
            c.production_p99,
        ),
    }
}
