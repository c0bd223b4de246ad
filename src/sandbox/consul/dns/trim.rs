//! Cutting answers to size as Consul does: by count, then by an estimate of the wire length.

use std::collections::{HashMap, HashSet};

use hickory_proto::op::Query;
use hickory_proto::rr::{Name, RData, Record};

use super::Network;
use super::reply::Reply;

const MAX_UDP: usize = 512;
const UDP_ANSWERS: usize = 3;
/// 64 KiB less some overhead.
const MAX_TCP: usize = 65523;

/// Cuts `reply` to what the network and the asker's EDNS size carry; true when something was left out.
pub(super) fn trim(
    reply: &mut Reply,
    query: &Query,
    network: Network,
    edns_size: Option<u16>,
) -> bool {
    let before = reply.answers.len();
    let extras = first_by_name(&reply.additionals);
    match network {
        Network::Udp => trim_udp(reply, query, edns_size, &extras),
        Network::Tcp => {
            reply.answers.truncate(if reply.answers.iter().any(is_srv) {
                1024
            } else {
                4096
            });
            shrink(reply, query, MAX_TCP, MAX_TCP, true, &extras);
        }
    }
    reply.answers.len() < before
}

fn trim_udp(
    reply: &mut Reply,
    query: &Query,
    edns_size: Option<u16>,
    extras: &HashMap<String, Record>,
) {
    let max = edns_size.map_or(MAX_UDP, usize::from).max(MAX_UDP);
    let mut compress = true;
    if max == MAX_UDP && reply.answers.len() > UDP_ANSWERS {
        compress = false;
        reply.answers.truncate(UDP_ANSWERS);
        sync_extras(reply, extras);
    }
    shrink(reply, query, max - 7, max, compress, extras);
}

fn shrink(
    reply: &mut Reply,
    query: &Query,
    limit: usize,
    max: usize,
    compress: bool,
    extras: &HashMap<String, Record>,
) {
    while reply.answers.len() > 1 {
        let length = estimate(reply, query, compress);
        if length <= limit {
            return;
        }
        let keep = match length.saturating_sub(max) > 100 {
            true => binary_cut(reply, query, max, compress, extras),
            false => reply.answers.len() - 1,
        };
        reply.answers.truncate(keep);
        sync_extras(reply, extras);
    }
}

fn binary_cut(
    reply: &Reply,
    query: &Query,
    max: usize,
    compress: bool,
    extras: &HashMap<String, Record>,
) -> usize {
    let (mut start, mut end) = (0, reply.answers.len() + 1);
    while end - start > 1 {
        let median = start + (end - start) / 2;
        let mut cut = Reply {
            answers: reply.answers[..median].to_vec(),
            ..Reply::default()
        };
        cut.additionals.clone_from(&reply.additionals);
        sync_extras(&mut cut, extras);
        let length = estimate(&cut, query, compress);
        if length > max {
            end = median;
        } else if max - length < 10 {
            return median;
        } else {
            start = median;
        }
    }
    start
}

fn is_srv(record: &Record) -> bool {
    matches!(record.data, RData::SRV(_))
}

fn folded(name: &Name) -> String {
    name.to_ascii().to_lowercase()
}

fn first_by_name(records: &[Record]) -> HashMap<String, Record> {
    let mut first = HashMap::new();
    for record in records {
        first
            .entry(folded(&record.name))
            .or_insert_with(|| record.clone());
    }
    first
}

/// Keeps only the extras that the remaining SRV answers point at.
fn sync_extras(reply: &mut Reply, extras: &HashMap<String, Record>) {
    if extras.is_empty() {
        return;
    }
    reply.additionals.clear();
    let mut seen = HashSet::new();
    for answer in &reply.answers {
        let RData::SRV(srv) = &answer.data else {
            continue;
        };
        let mut target = folded(&srv.target);
        while seen.insert(target.clone()) {
            let Some(extra) = extras.get(&target) else {
                break;
            };
            reply.additionals.push(extra.clone());
            let RData::CNAME(alias) = &extra.data else {
                break;
            };
            target = folded(&alias.0);
        }
    }
}

/// Length on the wire as Consul's DNS library reckons it.
fn estimate(reply: &Reply, query: &Query, compress: bool) -> usize {
    let mut known = compress.then(HashSet::new);
    let mut length = 12 + name_length(&query.name, 12, &mut known, true) + 4;
    for record in reply
        .answers
        .iter()
        .chain(&reply.authorities)
        .chain(&reply.additionals)
    {
        length += name_length(&record.name, length, &mut known, true) + 10;
        length += match &record.data {
            RData::A(_) => 4,
            RData::AAAA(_) => 16,
            RData::SRV(srv) => 6 + name_length(&srv.target, length, &mut known, false),
            RData::CNAME(target) => name_length(&target.0, length, &mut known, true),
            RData::TXT(text) => text.txt_data.iter().map(|part| part.len() + 1).sum(),
            _ => 0,
        };
    }
    length
}

fn name_length(
    name: &Name,
    at: usize,
    known: &mut Option<HashSet<String>>,
    may_point: bool,
) -> usize {
    let text = name.to_ascii();
    let whole = if text == "." { 1 } else { text.len() + 1 };
    let Some(known) = known else { return whole };
    let mut start = 0;
    while start < text.len() && text != "." {
        if known.contains(&text[start..]) {
            return if may_point { start + 2 } else { whole };
        }
        if at + start < 1 << 14 {
            known.insert(text[start..].to_owned());
        }
        start += text[start..].find('.').map_or(text.len(), |dot| dot + 1);
    }
    whole
}
