use super::*;
use serde_json::json;

/// When each of so many was seen to over two minutes of looks, one every so many milliseconds.
fn turns(many: usize, every: usize) -> Vec<Vec<i64>> {
    let mut memory = Memory::default();
    let mut all = vec![Vec::new(); many];
    for at in (0..120_000).step_by(every) {
        for k in memory.turn(many, Moment(at as i64)) {
            all[k].push(at as i64);
        }
    }
    all
}

#[test]
fn of_few_each_look_sees_to_all_and_of_many_to_each_once_in_a_round() {
    for (many, every) in [(0, 1_000), (3, 1_000), (64, 10_000)] {
        let looks: Vec<i64> = (0..120_000).step_by(every).map(|at| at as i64).collect();
        for at in turns(many, every) {
            assert_eq!(at, looks, "of {many}");
        }
    }
    let all = turns(5_000, 10_000);
    for at in &all {
        let gaps = at.windows(2).map(|w| w[1] - w[0]);
        assert!(
            !at.is_empty() && gaps.max() <= Some(ROUND.0 + 10_000),
            "{at:?}"
        );
    }
    let at_once = |at: i64| all.iter().filter(|a| a.contains(&at)).count();
    assert_eq!(
        (at_once(0), at_once(10_000), at_once(50_000)),
        (64, 834, 834)
    );
}

#[test]
fn none_is_read_sooner_than_it_may_be() {
    let (mut memory, front) = (Memory::default(), ServiceName::from("web"));
    assert!(memory.rested(&front, Moment(0)));
    memory.note(&front, Ok(Vec::new()), Moment(0));
    assert!(!memory.rested(&front, Moment(RESPITE.0 - 1)));
    assert!(memory.rested(&front, Moment(RESPITE.0)));
}

#[test]
fn a_reading_that_says_the_same_stays_the_same_in_memory_and_a_failure_leaves_none() {
    let mut memory = Memory::default();
    let front = ServiceName::from("web");
    let mut noted = |found: Result<Vec<AllocId>, String>| {
        memory.note(&front, found, Moment(0));
        let mut seen = BTreeMap::from([(front.clone(), Front::default())]);
        memory.place(&mut seen);
        seen.remove(&front).and_then(|f| f.origin)
    };
    let list = |seen: Option<Seen<SharedList<AllocId>>>| seen.and_then(|s| s.value().cloned());
    let first = list(noted(Ok(vec!["a".into()]))).expect("known");
    let second = list(noted(Ok(vec!["a".into()]))).expect("known");
    assert!(first.is_same(&second));
    assert_eq!(noted(Err("away".into())), Some(Seen::unknown("away")));
}

#[test]
fn the_services_behind_a_port_are_those_that_nomad_registers_with_consul() {
    let block = |name: &str, port: &str, provider: Option<&str>| json!({"Name": name, "PortLabel": port, "Provider": provider});
    let job = JobSpec::new(json!({"ID": "shop", "TaskGroups": [{
        "Name": "web",
        "Services": [block("web-origin", "http", Some("consul")), block("web-admin", "admin", None)],
        "Tasks": [{"Services": [block("web-of-task", "http", None), block("web-nomad", "http", Some("nomad"))]}],
    }]}));
    let group = job.group(&"web".into()).expect("the group");
    let found: Vec<&str> = behind(group, "http").collect();
    assert_eq!(found, ["web-origin", "web-of-task"]);
}

/// An entry as Nomad registers it for the n-th allocation.
fn entry(n: u8, service: &str, checks: &[(&str, &str)]) -> ServiceEntry {
    let id = format!("_nomad-task-{}-group-web-{service}-http", alloc(n));
    let checks = checks.iter();
    let checks: Vec<_> = checks
        .map(|(id, status)| json!({"CheckID": id, "Status": status}))
        .collect();
    serde_json::from_value(json!({"Service": {"ID": id, "Service": service}, "Checks": checks}))
        .expect("an entry")
}

fn alloc(n: u8) -> String {
    format!("{n:08}-0000-0000-0000-000000000000")
}

#[test]
fn an_instance_passes_where_all_that_checks_say_of_its_entries_is_well() {
    let (agent, maintenance) = (("serfHealth", "passing"), "_service_maintenance:it");
    let well = [agent, ("health", "passing")];
    let foreign = ServiceEntry {
        checks: entry(1, "a", &well).checks,
        ..ServiceEntry::default()
    };
    let found = passing(
        &[
            entry(7, "a", &well),
            entry(1, "a", &well),
            entry(1, "b", &well),
            entry(2, "a", &well),
            entry(2, "b", &[agent, ("health", "critical")]),
            entry(3, "a", &[("serfHealth", "critical"), ("health", "passing")]),
            entry(4, "a", &[agent, ("health", "warning")]),
            entry(5, "a", &[agent, (maintenance, "critical")]),
            entry(6, "a", &[]),
            foreign,
        ],
        &Names::default(),
    );
    let ids: Vec<&str> = found.iter().map(AllocId::as_str).collect();
    assert_eq!(ids, [alloc(1), alloc(7)]);
}
