//! Names and records as Consul writes them.

use std::net::IpAddr;

use hickory_proto::rr::rdata::{CNAME, NS, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::super::records::{
    CheckServiceNode, HealthCheck, Node, WARNING, Weights, aggregated_status,
};

const DOMAIN: &str = "consul";
/// Seconds; Consul's default for services, nodes and negative answers.
const TTL: u32 = 0;

/// True for names under `consul.`
pub(super) fn is_ours(name: &Name) -> bool {
    name.iter()
        .last()
        .is_some_and(|label| label.eq_ignore_ascii_case(DOMAIN.as_bytes()))
}

/// The labels of a name in small letters, without the domain.
pub(super) fn labels(name: &Name) -> Vec<String> {
    let mut labels: Vec<String> = name
        .iter()
        .map(|label| String::from_utf8_lossy(label).to_lowercase())
        .collect();
    labels.pop();
    labels
}

/// A name from text; one that is no name becomes the root, which nothing resolves.
pub(super) fn name(text: &str) -> Name {
    let mut name = Name::from_str_relaxed(text).unwrap_or_else(|_| Name::root());
    name.set_fqdn(true);
    name
}

pub(super) fn domain() -> Name {
    name(DOMAIN)
}

pub(super) fn node_name(node: &str, datacenter: &str) -> Name {
    name(&format!("{node}.node.{datacenter}.{DOMAIN}."))
}

/// `7f000001.addr.dc.consul.`, the name of an address.
pub(super) fn address_name(address: IpAddr, datacenter: &str) -> Name {
    let hex: String = match address {
        IpAddr::V4(address) => address
            .octets()
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect(),
        IpAddr::V6(address) => address
            .octets()
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect(),
    };
    name(&format!("{hex}.addr.{datacenter}.{DOMAIN}."))
}

/// The address that such a first label says.
pub(super) fn parse_address_label(label: &str) -> Option<IpAddr> {
    if !label.is_ascii() {
        return None;
    }
    match label.len() {
        8 => u32::from_str_radix(label, 16)
            .ok()
            .map(|bits| IpAddr::from(bits.to_be_bytes())),
        32 => u128::from_str_radix(label, 16)
            .ok()
            .map(|bits| IpAddr::from(bits.to_be_bytes())),
        _ => None,
    }
}

/// An A or AAAA record, where the kind of question takes one.
pub(super) fn address_record(asked: RecordType, name: Name, address: IpAddr) -> Option<Record> {
    let any = matches!(
        asked,
        RecordType::SRV | RecordType::ANY | RecordType::NS | RecordType::TXT
    );
    let data = match address {
        IpAddr::V4(address) if any || asked == RecordType::A => RData::A(address.into()),
        IpAddr::V6(address) if any || asked == RecordType::AAAA => RData::AAAA(address.into()),
        _ => return None,
    };
    Some(Record::from_rdata(name, TTL, data))
}

pub(super) fn cname_record(name: Name, target: Name) -> Record {
    Record::from_rdata(name, TTL, RData::CNAME(CNAME(target)))
}

pub(super) fn ns_record(target: Name) -> Record {
    Record::from_rdata(domain(), TTL, RData::NS(NS(target)))
}

pub(super) fn srv_record(name: Name, weight: i64, port: i64, target: Name) -> Record {
    // Go cuts to 16 bits, too.
    Record::from_rdata(
        name,
        TTL,
        RData::SRV(SRV::new(1, weight as u16, port as u16, target)),
    )
}

/// The node's metadata as TXT records, as RFC 1464 has it.
pub(super) fn meta_records(name: &Name, node: &Node) -> Vec<Record> {
    let text = |(key, value): (&String, &String)| {
        if key.to_lowercase().starts_with("rfc1035-") {
            return value.clone();
        }
        format!(
            "{}={}",
            key.replace('`', "``").replace('=', "`="),
            value.replace('`', "``")
        )
    };
    let pairs = node.meta.iter().flatten().map(text);
    pairs
        .map(|text| Record::from_rdata(name.clone(), TTL, RData::TXT(TXT::new(vec![text]))))
        .collect()
}

/// The start of authority; `serial` is seconds since 1970.
pub(super) fn soa_record(serial: u32) -> Record {
    let soa = SOA::new(
        name("ns.consul."),
        name("hostmaster.consul."),
        serial,
        3600,
        600,
        86400,
        TTL,
    );
    Record::from_rdata(domain(), TTL, RData::SOA(soa))
}

/// The SRV weight of an instance by the state of its checks.
pub(super) fn weight(entry: &CheckServiceNode) -> i64 {
    let weights = entry.service.weights.unwrap_or(Weights::ONE);
    let own = |check: &&HealthCheck| {
        check.service_name.is_empty() || check.service_name == entry.service.service
    };
    match aggregated_status(entry.checks.iter().filter(own)) {
        WARNING => weights.warning,
        "passing" => weights.passing,
        "" => 1,
        _ => 0,
    }
}
