use super::*;

/// A small policy with something more in it.
fn with(more: &str) -> Result<Policy, Error> {
    let text = format!(
        "workload \"shop\" {{\n job = \"shop\"\n risk_tolerance = 0.3\n sites = [\"a\"]\n slo {{\n latency = \"1s\"\n }}\n budget {{}}\n portion \"web\" {{}}\n{more}\n}}"
    );
    parse_policy("shop.hcl", &text)
}

fn wrong(more: &str) -> String {
    with(more).expect_err("it must be refused").to_string()
}

#[test]
fn events_and_maintenance_are_read() {
    let policy = with(
        "event \"sale\" {\n from = \"2026-11-27T08:00:00Z\"\n to = \"2026-11-27T10:00:00+01:00\"\n factor = 2.5\n portions = [\"web\"]\n }\n\
         maintenance \"rack\" {\n from = \"1970-01-01T00:00:01Z\"\n to = \"1970-01-01T00:00:02Z\"\n nodes = [\"n1\"]\n }",
    )
    .expect("a good policy");
    let (event, rack) = (&policy.events[0], &policy.maintenance[0]);
    assert_eq!(event.window.to.since(event.window.from), Span::secs(3600));
    assert_eq!((event.factor, event.portions.len()), (2.5, 1));
    assert_eq!(rack.window.from, Moment(1000));
    assert_eq!(rack.nodes, ["n1"]);
}

#[test]
fn what_is_wrong_with_a_window_is_told_with_line_and_what_was_expected() {
    let times = "from = \"2026-11-27T08:00:00Z\"\n to = \"2026-11-27T09:00:00Z\"";
    let no_zone = wrong(
        "event \"sale\" {\n from = \"2026-11-27 08:00\"\n to = \"2026-11-27T09:00:00Z\"\n factor = 2\n }",
    );
    assert!(
        no_zone.contains("shop.hcl:11") && no_zone.contains("2026-11-27T08:00:00Z"),
        "{no_zone}"
    );
    let turned = wrong(
        "event \"sale\" {\n from = \"2026-11-27T08:00:00Z\"\n to = \"2026-11-27T07:00:00Z\"\n factor = 2\n }",
    );
    assert!(turned.contains("to must lie after from"), "{turned}");
    let no_factor = wrong(&format!("event \"sale\" {{\n {times}\n }}"));
    assert!(no_factor.contains("lacks factor"), "{no_factor}");
    let stranger = wrong(&format!(
        "event \"sale\" {{\n {times}\n factor = 2\n portions = [\"wbe\"]\n }}"
    ));
    assert!(stranger.contains("portions names wbe"), "{stranger}");
    let nothing = wrong(&format!("maintenance \"rack\" {{\n {times}\n }}"));
    assert!(nothing.contains("lacks nodes"), "{nothing}");
    let typo = wrong(&format!(
        "maintenance \"rack\" {{\n {times}\n node = [\"n1\"]\n }}"
    ));
    assert!(typo.contains("did you mean nodes?"), "{typo}");
}
