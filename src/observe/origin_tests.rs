use super::*;
use serde_json::json;

fn fronts(many: usize) -> Vec<ServiceName> {
    (0..many)
        .map(|n| ServiceName::new(format!("{n:04}")))
        .collect()
}

/// When each was read over two minutes of looks, one every so many milliseconds.
fn reads(fronts: &[ServiceName], every: usize) -> BTreeMap<&ServiceName, Vec<i64>> {
    let mut memory = Memory::default();
    let mut all: BTreeMap<&ServiceName, Vec<i64>> = BTreeMap::new();
    for at in (0..120_000).step_by(every) {
        let wanted: Wanted = fronts.iter().map(|f| (f, Vec::new())).collect();
        for front in memory.turn(&wanted, Moment(at)) {
            all.entry(front).or_default().push(at);
            memory.note(front, Ok(Vec::new()), Moment(at));
        }
    }
    all
}

#[test]
fn few_are_read_as_soon_as_they_may_be_and_many_each_once_in_a_round() {
    for (many, every, longest) in [(3, 1_000, RESPITE), (64, 10_000, Span::secs(10))] {
        let fronts = fronts(many);
        for (front, at) in reads(&fronts, every) {
            let soon = at.windows(2).all(|w| w[1] - w[0] == longest.0);
            assert!(soon && at[0] == 0, "{front}: {at:?}");
        }
    }
    let fronts = fronts(5_000);
    let all = reads(&fronts, 10_000);
    assert_eq!(all.len(), fronts.len());
    for (front, at) in &all {
        let gaps = at.windows(2).map(|w| w[1] - w[0]);
        assert!(gaps.max() <= Some(ROUND.0 + 10_000), "{front}: {at:?}");
    }
    let at_once = |at: i64| all.values().filter(|a| a.contains(&at)).count();
    assert_eq!(
        (at_once(0), at_once(10_000), at_once(50_000)),
        (5_000, 834, 834)
    );
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
