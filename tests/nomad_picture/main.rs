//! The picture of a cluster: what events and lists make of it, and that a follower misses nothing and reads no list twice.

mod server;

use foreshadow::clients::nomad::picture::{Follower, Glance, Picture, Proof, Which};
use foreshadow::clients::nomad::{Alloc, EventBatch, Node};
use proptest::prelude::*;
use serde_json::{Value, json};
use server::{Server, alloc_row, eval_row, event, node_row};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

fn rows<T: serde::de::DeserializeOwned>(all: &[Value]) -> Vec<Arc<T>> {
    let decoded = all.iter().map(|v| serde_json::from_value(v.clone()));
    decoded.map(|row| Arc::new(row.unwrap())).collect()
}

fn batch(which: Which, row: &Value, index: u64) -> EventBatch {
    serde_json::from_str(&event(which, row, index)).unwrap()
}

fn listed() -> Picture {
    let mut picture = Picture::default();
    picture.list_nodes(rows(&[node_row("n1", "ready", 5)]), 5);
    picture.list_allocs(rows(&[alloc_row("a1", "running", 8)]), 8);
    picture
}

#[test]
fn an_event_that_a_list_already_held_changes_nothing() {
    let mut picture = listed();
    picture.drain();
    picture.apply(batch(Which::Allocs, &alloc_row("a1", "pending", 7), 7));
    picture.apply(batch(Which::Allocs, &alloc_row("gone", "running", 8), 8));
    assert!(picture.drain().allocs.is_empty());
    let held = (picture.allocs().len(), picture.allocs().get("a1"));
    assert_eq!(held, (1, None), "known, though it was handed over");
    picture.apply(batch(Which::Allocs, &alloc_row("a1", "failed", 9), 9));
    let changed = picture.drain().allocs;
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].1.as_ref().unwrap().client_status, "failed");
}

#[test]
fn a_list_that_is_older_than_an_event_brings_nothing_back() {
    let mut picture = listed();
    picture.begin(Which::Nodes);
    let mut away: EventBatch = batch(Which::Nodes, &node_row("n1", "down", 6), 6);
    away.events[0].kind = "NodeDeregistration".into();
    picture.apply(away);
    picture.apply(batch(Which::Nodes, &node_row("n2", "ready", 7), 7));
    let change = picture.list_nodes(rows(&[node_row("n1", "ready", 5)]), 5);
    assert!(!change.went_back);
    assert!(picture.nodes().get("n1").is_none(), "it was deregistered");
    assert!(
        picture.nodes().get("n2").is_some(),
        "it came after the list"
    );
    assert_eq!(picture.at(Which::Nodes), 7);
}

#[test]
fn a_list_from_before_what_is_known_replaces_everything() {
    let mut picture = listed();
    picture.begin(Which::Allocs);
    let change = picture.list_allocs(rows(&[alloc_row("b", "running", 2)]), 3);
    assert!(change.went_back);
    assert_eq!((picture.allocs().len(), picture.at(Which::Allocs)), (1, 3));
    assert!(picture.allocs().get("b").is_some());
}

#[test]
fn only_blocked_evaluations_are_kept() {
    let mut picture = listed();
    picture.apply(batch(Which::Evals, &eval_row("e", "pending", 11), 11));
    assert!(picture.evals().is_empty());
    picture.apply(batch(Which::Evals, &eval_row("e", "blocked", 12), 12));
    assert_eq!(picture.evals().len(), 1);
    picture.apply(batch(Which::Evals, &eval_row("e", "canceled", 13), 13));
    assert!(picture.evals().is_empty());
    assert_eq!(picture.at(Which::Evals), 13);
}

proptest! {
    #[test]
    fn events_in_order_give_what_a_list_at_the_end_gives(
        writes in prop::collection::vec((0u8..12, 0u8..3), 1..60), listed_after in 0usize..60,
    ) {
        let status = |s: u8| ["pending", "running", "failed"][usize::from(s)];
        let row = |n: usize| {
            let (id, s) = writes[n];
            alloc_row(&format!("a{id}"), status(s), n as u64 + 1)
        };
        let last_of = |upto: usize| {
            let mut last = std::collections::BTreeMap::new();
            for (n, (id, _)) in writes.iter().enumerate().take(upto) {
                last.insert(*id, row(n));
            }
            last.into_values().collect::<Vec<_>>()
        };
        let cut = listed_after.min(writes.len());
        let mut followed = Picture::default();
        followed.list_allocs(rows(&last_of(cut)), cut as u64);
        // Replayed from the start, as a server's buffer does.
        for n in 0..writes.len() {
            followed.apply(batch(Which::Allocs, &row(n), n as u64 + 1));
        }
        let mut whole = Picture::default();
        whole.list_allocs(rows(&last_of(writes.len())), writes.len() as u64);
        let sorted = |p: &Picture| {
            let mut all: Vec<Arc<Alloc>> = p.allocs().rows().cloned().collect();
            all.sort_by(|a, b| a.id.cmp(&b.id));
            all
        };
        prop_assert_eq!(sorted(&followed), sorted(&whole));
        prop_assert_eq!(followed.at(Which::Allocs), whole.at(Which::Allocs));
    }
}

/// A follower, and the keys of the events it takes in.
fn follow(server: &Server) -> (Follower, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let on_event = Box::new(move |e: &foreshadow::clients::nomad::Event| {
        let _ = tell.send(e.key.clone());
    });
    (
        Follower::start(server.client(), server.client(), on_event),
        told,
    )
}

async fn told(events: &mut mpsc::UnboundedReceiver<String>, key: &str) {
    let wanted = async { while events.recv().await.expect("the follower lives") != key {} };
    tokio::time::timeout(Duration::from_secs(20), wanted)
        .await
        .unwrap_or_else(|_| panic!("no event of {key}"));
}

fn all_current(glance: &Glance) -> bool {
    [&glance.nodes, &glance.allocs, &glance.evals]
        .iter()
        .all(|p| **p == Proof::Current)
}

fn status<'a>(glance: &'a Glance, id: &str) -> Option<&'a str> {
    let found = glance.changes.allocs.iter().find(|(key, _)| **key == *id)?;
    found.1.as_ref().map(|a| a.client_status.as_str())
}

#[tokio::test]
async fn after_an_event_a_glance_is_current_and_no_list_was_read_again() {
    let server = Server::start().await;
    let (follower, mut events) = follow(&server);
    let first = follower.glance().await;
    assert!(all_current(&first), "{first:?}");
    assert_eq!(status(&first, "a1"), Some("running"));
    let nodes: Vec<&Node> = first
        .changes
        .nodes
        .iter()
        .flat_map(|n| n.1.as_deref())
        .collect();
    assert_eq!(nodes[0].meta["price"], "0.1", "with what the list lacks");
    let lists = server.store().lists;
    server.write(Which::Allocs, alloc_row("a1", "failed", 11), 11, false);
    server.write(Which::Nodes, node_row("n1", "down", 12), 12, false);
    told(&mut events, "n1").await;
    let second = follower.glance().await;
    assert!(all_current(&second), "{second:?}");
    assert_eq!(status(&second, "a1"), Some("failed"));
    assert_eq!(second.changes.nodes.len(), 1);
    let third = follower.glance().await;
    assert!(third.changes.allocs.is_empty() && third.changes.nodes.is_empty());
    assert_eq!(server.store().lists, lists, "events were enough");
}

#[tokio::test]
async fn a_broken_stream_goes_on_from_its_last_index_without_a_list() {
    let server = Server::start().await;
    let (follower, mut events) = follow(&server);
    assert!(all_current(&follower.glance().await));
    server.write(Which::Allocs, alloc_row("a1", "pending", 11), 11, false);
    told(&mut events, "a1").await;
    assert!(all_current(&follower.glance().await));
    let lists = server.store().lists;
    server.cut();
    server.streams(2).await;
    server.write(Which::Allocs, alloc_row("a2", "running", 12), 12, false);
    told(&mut events, "a2").await;
    let glance = follower.glance().await;
    assert!(all_current(&glance), "{glance:?}");
    assert_eq!(status(&glance, "a2"), Some("running"));
    assert_eq!(
        server.store().streams,
        [0, 11],
        "it asks for what it has last"
    );
    assert_eq!(server.store().lists, lists);
}

#[tokio::test]
async fn a_gap_in_the_stream_has_the_lists_read_again() {
    let server = Server::start().await;
    let (follower, mut events) = follow(&server);
    assert!(all_current(&follower.glance().await));
    server.write(Which::Allocs, alloc_row("a1", "pending", 11), 11, false);
    told(&mut events, "a1").await;
    // While nobody listens, a2 is written and falls out of the buffer; a3 is still in it.
    server.store().refuse = Some(500);
    server.cut();
    server.write(Which::Allocs, alloc_row("a2", "running", 12), 12, true);
    server.write(Which::Allocs, alloc_row("a3", "running", 13), 13, false);
    server.change(|store| {
        store.buffer.retain(|(index, _)| *index > 12);
        store.refuse = None;
    });
    server.streams(2).await;
    told(&mut events, "a3").await;
    let glance = follower.glance().await;
    assert!(all_current(&glance), "{glance:?}");
    assert_eq!(status(&glance, "a2"), Some("running"));
    assert_eq!(status(&glance, "a3"), Some("running"));
}

#[tokio::test]
async fn a_write_without_an_event_is_found_by_its_index() {
    let server = Server::start().await;
    let (follower, _events) = follow(&server);
    assert!(all_current(&follower.glance().await));
    server.collect(Which::Allocs, "a1", 14);
    let glance = follower.glance().await;
    assert!(all_current(&glance), "{glance:?}");
    let gone = &glance.changes.allocs;
    assert_eq!((&*gone[0].0, gone[0].1.is_none()), ("a1", true));
}

#[tokio::test]
async fn a_restored_state_store_voids_the_picture() {
    let server = Server::start().await;
    let (follower, mut events) = follow(&server);
    server.write(Which::Allocs, alloc_row("late", "running", 40), 40, false);
    assert!(all_current(&follower.glance().await));
    told(&mut events, "late").await;
    server.change(|store| {
        store.index = [6; 3];
        store.rows[1].clear();
        store.rows[1].insert("early".into(), alloc_row("early", "running", 5));
        store.buffer.clear();
    });
    server.cut();
    server.streams(2).await;
    let glance = follower.glance().await;
    assert!(all_current(&glance), "{glance:?}");
    assert_eq!(status(&glance, "early"), Some("running"));
    let late = glance.changes.allocs.iter().find(|(id, _)| **id == *"late");
    assert!(late.is_some_and(|(_, row)| row.is_none()), "{glance:?}");
    server.write(Which::Allocs, alloc_row("new", "running", 7), 7, false);
    let glance = follower.glance().await;
    assert!(all_current(&glance), "{glance:?}");
    assert_eq!(status(&glance, "new"), Some("running"));
}

#[tokio::test]
async fn where_the_stream_is_refused_the_lists_are_watched_with_blocking_queries() {
    for refusal in [403, 404] {
        let server = Server::start().await;
        server.store().refuse = Some(refusal);
        let (follower, _events) = follow(&server);
        let first = follower.glance().await;
        assert!(all_current(&first), "{refusal}: {first:?}");
        assert!(follower.by_lists());
        server.write(Which::Allocs, alloc_row("a2", "running", 11), 11, true);
        let glance = follower.glance().await;
        assert!(all_current(&glance), "{refusal}: {glance:?}");
        assert_eq!(status(&glance, "a2"), Some("running"), "{refusal}");
    }
}

#[tokio::test]
async fn a_line_of_garbage_costs_a_list_and_the_stream_goes_on() {
    let server = Server::start().await;
    let (follower, mut events) = follow(&server);
    assert!(all_current(&follower.glance().await));
    server.say("{\"Index\": 11, \"Events\": [{\"Topic\"\n");
    server.write(Which::Allocs, alloc_row("a2", "running", 12), 12, false);
    told(&mut events, "a2").await;
    let glance = follower.glance().await;
    assert!(all_current(&glance), "{glance:?}");
    assert_eq!(status(&glance, "a2"), Some("running"));
    assert_eq!(server.store().streams.len(), 1);
}

#[tokio::test]
async fn a_nomad_that_is_away_is_unknown_and_current_once_it_is_back() {
    let server = Server::start().await;
    let (follower, _events) = follow(&server);
    assert!(all_current(&follower.glance().await));
    server.store().broken = Some(500);
    server.cut();
    let away = follower.glance().await;
    assert!(matches!(&away.allocs, Proof::Unknown(why) if why.contains("Nomad")));
    server.write(Which::Allocs, alloc_row("a2", "running", 11), 11, true);
    server.store().broken = None;
    let back = follower.glance().await;
    assert!(all_current(&back), "{back:?}");
    assert_eq!(status(&back, "a2"), Some("running"));
}

#[tokio::test]
async fn a_first_list_that_fails_is_unknown_with_its_reason() {
    let server = Server::start().await;
    server.store().broken = Some(503);
    let (follower, _events) = follow(&server);
    let glance = follower.glance().await;
    let Proof::Unknown(why) = &glance.nodes else {
        panic!("{glance:?}");
    };
    assert!(why.contains("503"), "{why}");
    server.store().broken = None;
    let later = follower.glance().await;
    assert!(all_current(&later), "{later:?}");
}

#[test]
fn a_heartbeat_and_an_unknown_topic_change_nothing() {
    let mut picture = listed();
    picture.drain();
    let heartbeat: EventBatch = serde_json::from_str("{}").unwrap();
    assert!(heartbeat.is_heartbeat());
    picture.apply(heartbeat);
    let other = json!({"Index": 50, "Events": [{"Topic": "Service", "Payload": {"Service": {"ID": "s"}}},
        {"Topic": "Node", "Payload": null}]});
    picture.apply(serde_json::from_value(other).unwrap());
    let changed = picture.drain();
    assert!(changed.nodes.is_empty() && changed.allocs.is_empty() && changed.evals.is_empty());
    assert_eq!(picture.at(Which::Nodes), 5);
}
