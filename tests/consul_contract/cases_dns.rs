//! DNS.

use std::collections::BTreeSet;

use hickory_proto::rr::{RData, RecordType};

use crate::cases;
use crate::dns::How;
use crate::script::{Case, Script};

pub fn all() -> Vec<(&'static str, Case)> {
    let mut all = services();
    all.extend(names());
    all
}

async fn register(s: &Script<'_>, name: &str, count: usize) {
    for at in 1..=count {
        let body = format!(
            r#"{{"ID":"{name}-{at}","Name":"{name}","Tags":["t{at}"],"Address":"10.7.0.{at}","Port":{},"Weights":{{"Passing":{at},"Warning":0}},"Check":{{"TTL":"60s","Status":"passing"}}}}"#,
            8000 + at
        );
        s.do_put("a", "/v1/agent/service/register", &body).await;
    }
}

async fn deregister(s: &Script<'_>, name: &str, count: usize) {
    for at in 1..=count {
        s.do_put(
            "a",
            &format!("/v1/agent/service/deregister/{name}-{at}"),
            "",
        )
        .await;
    }
}

fn services() -> Vec<(&'static str, Case)> {
    cases! {
        "SRV answers carry weights, ports and addresses" => |s| {
            register(s, "dnsa", 3).await;
            for agent in ["a", "b"] {
                s.dig(agent, "dnsa.service.consul", RecordType::SRV, How::Udp).await;
                s.dig(agent, "dnsa.service.consul", RecordType::SRV, How::UdpWithEdns(1232)).await;
            }
            s.dig("a", "dnsa.service.consul", RecordType::SRV, How::Tcp).await;
            s.dig("a", "_dnsa._tcp.service.consul", RecordType::SRV, How::Tcp).await;
            s.dig("a", "_dnsa._tcp.consul", RecordType::SRV, How::Tcp).await;
            s.dig("a", "_dnsa._t2.service.consul", RecordType::SRV, How::Tcp).await;
            s.dig("a", "_dnsa._tcp.service.edge.consul", RecordType::SRV, How::Tcp).await;
            s.dig("a", "t1.dnsa.service.consul", RecordType::SRV, How::Udp).await;
            s.dig("a", "DNSA.Service.Consul", RecordType::SRV, How::Tcp).await;
            deregister(s, "dnsa", 3).await;
        }
        "A and AAAA answers" => |s| {
            register(s, "dnsb", 3).await;
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"six","Address":"fd00::7","Port":6}"#).await;
            for kind in [RecordType::A, RecordType::AAAA, RecordType::ANY, RecordType::TXT, RecordType::MX] {
                s.dig("a", "dnsb.service.consul", kind, How::Tcp).await;
                s.dig("a", "six.service.consul", kind, How::Tcp).await;
            }
            s.dig("a", "six.service.consul", RecordType::SRV, How::Udp).await;
            deregister(s, "dnsb", 3).await;
            s.do_put("a", "/v1/agent/service/deregister/six", "").await;
        }
        "warning has its own weight; critical and maintenance are left out" => |s| {
            register(s, "dnsc", 4).await;
            s.do_put("a", "/v1/agent/check/warn/service:dnsc-2", "").await;
            s.do_put("a", "/v1/agent/check/fail/service:dnsc-3", "").await;
            s.do_put("a", "/v1/agent/service/maintenance/dnsc-4?enable=true", "").await;
            s.dig("a", "dnsc.service.consul", RecordType::SRV, How::Tcp).await;
            s.dig("a", "dnsc.service.consul", RecordType::A, How::Tcp).await;
            s.do_put("a", "/v1/agent/check/fail/service:dnsc-1", "").await;
            s.do_put("a", "/v1/agent/check/fail/service:dnsc-2", "").await;
            s.dig("a", "dnsc.service.consul", RecordType::SRV, How::Tcp).await;
            deregister(s, "dnsc", 4).await;
        }
        "UDP answers are cut, TCP answers are whole" => |s| {
            register(s, "dnsd", 40).await;
            for how in [How::Udp, How::UdpWithEdns(512), How::UdpWithEdns(600), How::UdpWithEdns(1232), How::UdpWithEdns(4096), How::Tcp] {
                s.dig_count("a", "dnsd.service.consul", RecordType::SRV, how).await;
                s.dig_count("a", "dnsd.service.consul", RecordType::A, how).await;
            }
            deregister(s, "dnsd", 40).await;
        }
        "many answers come in changing order" => |s| {
            register(s, "dnse", 8).await;
            let mut firsts = BTreeSet::new();
            for _ in 0..40 {
                let answer = crate::dns::ask(s.rig.dns("a"), "dnse.service.consul", RecordType::SRV, How::Udp).await;
                if let Some(RData::SRV(srv)) = answer.answers.first().map(|record| &record.data) {
                    firsts.insert(srv.port);
                }
            }
            s.note(format!("more than two come first at times: {}", firsts.len() > 2));
            deregister(s, "dnse", 8).await;
        }
        "instances without an address are named by their node" => |s| {
            s.do_put("b", "/v1/agent/service/register", r#"{"Name":"noaddr","Port":5}"#).await;
            s.dig("a", "noaddr.service.consul", RecordType::SRV, How::Udp).await;
            s.dig("a", "noaddr.service.consul", RecordType::A, How::Udp).await;
            s.dig("a", "consul.service.consul", RecordType::SRV, How::Udp).await;
            s.do_put("b", "/v1/agent/service/deregister/noaddr", "").await;
        }
        "addresses that are names become aliases" => |s| {
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"aliased","Address":"a.node.consul","Port":5}"#).await;
            s.do_put("a", "/v1/agent/service/register", r#"{"Name":"foreign","Address":"www.example.com","Port":5}"#).await;
            for name in ["aliased.service.consul", "foreign.service.consul"] {
                s.dig("a", name, RecordType::SRV, How::Tcp).await;
                s.dig("a", name, RecordType::A, How::Tcp).await;
            }
            s.do_put("a", "/v1/agent/service/deregister/aliased", "").await;
            s.do_put("a", "/v1/agent/service/deregister/foreign", "").await;
        }
        "the same instance twice is one answer" => |s| {
            for id in ["twice-1", "twice-2"] {
                s.do_put("a", "/v1/agent/service/register", &format!(r#"{{"ID":"{id}","Name":"twice","Address":"10.7.0.1","Port":1,"Weights":{{"Passing":4,"Warning":1}}}}"#)).await;
            }
            s.dig("a", "twice.service.consul", RecordType::SRV, How::Tcp).await;
            s.dig("a", "twice.service.consul", RecordType::A, How::Tcp).await;
            deregister(s, "twice", 2).await;
        }
    }
}

fn names() -> Vec<(&'static str, Case)> {
    cases! {
        "another datacenter's services are asked for by its name" => |s| {
            s.do_put("p", "/v1/agent/service/register", r#"{"Name":"dnsp","Address":"10.8.0.1","Port":80,"Weights":{"Passing":9,"Warning":1}}"#).await;
            s.dig("a", "dnsp.service.consul", RecordType::SRV, How::Udp).await;
            for agent in ["a", "b"] {
                s.dig(agent, "dnsp.service.provider.consul", RecordType::SRV, How::Udp).await;
                s.dig(agent, "_dnsp._tcp.service.provider.consul", RecordType::SRV, How::Udp).await;
                s.dig(agent, "dnsp.service.nowhere.consul", RecordType::SRV, How::Udp).await;
                s.dig(agent, "p.node.provider.consul", RecordType::A, How::Udp).await;
            }
            s.do_put("p", "/v1/agent/service/deregister/dnsp", "").await;
        }
        "nodes by name" => |s| {
            for name in ["a.node.consul", "b.node.edge.consul", "none.node.consul"] {
                for kind in [RecordType::A, RecordType::AAAA, RecordType::ANY, RecordType::TXT, RecordType::SRV] {
                    s.dig("a", name, kind, How::Udp).await;
                }
            }
            s.dig("a", "a.node.consul", RecordType::A, How::UdpWithEdns(1232)).await;
        }
        "names that are none" => |s| {
            for name in ["none.service.consul", "consul", "bad.consul", "service.consul", "x.service.edge.more.consul", "x.query.consul", "zz.addr.consul", "example.com"] {
                for how in [How::Udp, How::UdpWithEdns(1232)] {
                    s.dig("a", name, RecordType::A, how).await;
                    s.dig("a", name, RecordType::SRV, how).await;
                }
            }
        }
        "the zone's authority" => |s| {
            for kind in [RecordType::SOA, RecordType::NS, RecordType::AXFR] {
                s.dig("a", "consul", kind, How::Tcp).await;
                s.dig("b", "any.service.consul", kind, How::Tcp).await;
            }
        }
        "addresses as names" => |s| {
            s.dig("a", "0a070001.addr.edge.consul", RecordType::A, How::Udp).await;
            s.dig("a", "0a070001.addr.consul", RecordType::A, How::Udp).await;
            s.dig("a", "fd000000000000000000000000000007.addr.edge.consul", RecordType::AAAA, How::Udp).await;
        }
    }
}
