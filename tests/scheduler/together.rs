//! A shadow with what it calls beside it, as real processes: it answers only if its calls reach the shadows of its upstreams.

use crate::estate::Estate;
use crate::program::{alone, kind, text};
use serde_json::Value;
use std::time::Duration;

/// Longer than a slow machine takes to any of the events.
const PATIENCE: Duration = Duration::from_secs(150);

/// Shadows of cart and of what it calls: pricing runs along, the ledger keeps its data and is stubbed.
fn with_upstreams(policy: String) -> String {
    let pairs = [
        (
            "front      = \"shop-cart\"",
            "upstreams = \"shadow\"\n    upstream \"shop-ledger\" {\n      mode = \"stub\"\n    }\n    front = \"shop-cart\"",
        ),
        (
            "front      = \"shop-web\"",
            "shadow = false\n    front = \"shop-web\"",
        ),
        (
            "front = \"shop-search\"",
            "shadow = false\n    front = \"shop-search\"",
        ),
        ("max_standbys       = 8", "max_standbys = 0"),
    ];
    pairs.iter().fold(policy, |policy, (from, to)| {
        assert!(policy.contains(from), "{from} is not there any more");
        policy.replace(from, to)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_is_measured_with_shadows_of_all_that_it_calls_and_they_end_with_it() {
    let _alone = alone();
    let mut estate = Estate::start().await;
    estate.play();
    let config = estate.configure(with_upstreams);
    let mut scheduler = estate.schedule(&config);
    let of_cart = |line: &Value| line["portion"] == "cart";
    let says = |what: &'static str| move |l: &Value| of_cart(l) && text(l).starts_with(what);
    scheduler.until("pricing's shadow", PATIENCE, says("start upstream applied"));
    scheduler.until("cart's shadow", PATIENCE, says("start shadow applied"));
    scheduler.until("a lesson of cart", PATIENCE, |line| {
        kind(line) == "lesson"
            && text(line).starts_with("cart at")
            && text(line).contains("carries")
    });
    scheduler.until("the end of pricing's shadow", PATIENCE, |line| {
        text(line).starts_with("reap applied") || text(line).starts_with("reap verified")
    });
    let began = |what: &str| {
        let place = scheduler
            .said
            .iter()
            .position(|l| of_cart(l) && text(l).starts_with(what));
        place.unwrap_or_else(|| panic!("{what} was said"))
    };
    assert!(began("start upstream applied") < began("start shadow applied"));
    drop(scheduler);
    estate.stop().await;
}
