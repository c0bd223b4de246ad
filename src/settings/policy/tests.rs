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
         maintenance \"rack\" {\n from = \"1970-01-01T00:00:01Z\"\n to = \"1970-01-01T00:00:02Z\"\n nodes = [\"n1\"]\n }\n\
         freeze \"audit\" {\n from = \"1970-01-01T00:00:01Z\"\n to = \"1970-01-01T00:00:02Z\"\n }",
    )
    .expect("a good policy");
    let (event, rack) = (&policy.events[0], &policy.maintenance[0]);
    assert_eq!(event.window.to.since(event.window.from), Span::secs(3600));
    assert_eq!((event.factor, event.portions.len()), (2.5, 1));
    assert_eq!(rack.window.from, Moment(1000));
    assert_eq!(rack.nodes, ["n1"]);
    let rest = |at: i64| policy.rest(Moment(at));
    let audit = rest(1_999);
    assert_eq!(audit.as_deref(), Some("frozen: audit"));
    assert_eq!(
        (rest(999), rest(2_000)),
        (None, None),
        "until just before the end"
    );
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

#[test]
fn what_stands_in_for_an_upstream_is_read_with_its_recording() {
    let folder = std::env::temp_dir().join(format!("foreshadow-policy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let line = "{\"method\":\"GET\",\"path\":\"/price?of=1\",\"status\":200,\"body\":\"12\",\"latency\":3.5}";
    std::fs::write(folder.join("pricing.ndjson"), format!("{line}\n")).expect("a file");
    std::fs::write(folder.join("broken.ndjson"), "{}\n").expect("a file");
    let read = |more: &str| {
        let text = format!(
            "workload \"shop\" {{\n job = \"shop\"\n risk_tolerance = 0.3\n sites = [\"a\"]\n slo {{\n latency = \"1s\"\n }}\n budget {{}}\n portion \"cart\" {{\n{more}\n}}\n}}"
        );
        parse_policy(&folder.join("shop.hcl").display().to_string(), &text)
    };
    let policy = read(
        "upstream \"shop-pricing\" {\n recording = \"pricing.ndjson\"\n }\n\
         upstream \"shop-tax\" {\n mode = \"production-readonly\"\n methods = [\"get\"]\n env = \"TAX\"\n }",
    )
    .expect("a good policy");
    let cart = &policy.portions[0];
    assert!(cart.calls_production());
    let [pricing, tax] = &cart.stand_ins[..] else {
        panic!("{:?}", cart.stand_ins);
    };
    assert_eq!(pricing.env, "UPSTREAM_SHOP_PRICING");
    let recorded = |i: &Instead| matches!(i, Instead::Stub { recording, .. } if recording[0].latency == Millis(3.5));
    assert!(recorded(&pricing.instead), "{pricing:?}");
    let methods = vec!["GET".to_string()];
    assert_eq!(tax.instead, Instead::ProductionReadonly { methods });
    assert_eq!(tax.env, "TAX");
    let wrong = |more: &str| read(more).expect_err("it must be refused").to_string();
    let said = wrong("upstream \"x\" {\n recording = \"broken.ndjson\"\n }");
    assert!(said.contains("line 1") && said.contains("method"), "{said}");
    let said = wrong("upstream \"x\" {\n mode = \"shadow\"\n }");
    assert!(
        said.contains("\"stub\" or \"production-readonly\""),
        "{said}"
    );
    let said = wrong("upstream \"x\" {\n methods = [\"GET\"]\n }");
    assert!(said.contains("methods belong to"), "{said}");
    std::fs::remove_dir_all(folder).expect("the folder goes");
}

#[test]
fn how_shadows_are_judged_is_read() {
    let usual = with("").expect("a good policy").judging;
    assert_eq!(usual, Judging::default());
    let own = with("judge {\n twin = false\n margin = \"7ms\"\n requests = 300\n }");
    let own = own.expect("a good policy").judging;
    assert_eq!(
        (own.twin, own.margin, own.requests),
        (false, Some(Millis(7.0)), 300)
    );
    assert!(wrong("judge {\n requests = 5\n }").contains("requests"));
}

#[test]
fn the_owner_of_weights_is_one_of_five_or_chosen_and_a_slip_is_told_the_nearest() {
    let owner = |line: &str| {
        let text = format!(
            "workload \"shop\" {{\n job = \"shop\"\n risk_tolerance = 0.3\n sites = [\"a\"]\n slo {{\n latency = \"1s\"\n }}\n budget {{}}\n portion \"web\" {{\n front = \"shop-web\"\n {line}\n }}\n}}"
        );
        parse_policy("shop.hcl", &text).map(|p| p.portions[0].owner)
    };
    assert_eq!(
        owner("").expect("a policy"),
        OwnerChoice::This(Owner::Front)
    );
    for each in Owner::ALL {
        let line = format!("owner = \"{each}\"");
        assert_eq!(owner(&line).expect("a policy"), OwnerChoice::This(each));
    }
    assert_eq!(
        owner("owner = \"auto\"").expect("a policy"),
        OwnerChoice::Auto
    );
    let slip = owner("owner = \"nomda\"")
        .expect_err("no such owner")
        .to_string();
    assert!(slip.contains("shop.hcl:11"), "{slip}");
    assert!(slip.contains("did you mean \"nomad\"?"), "{slip}");
    let far = owner("owner = \"x\"")
        .expect_err("no such owner")
        .to_string();
    assert!(
        far.contains("must be one of \"front\", \"agent\"") && !far.contains("did you mean"),
        "{far}"
    );
}

#[test]
fn gateways_may_probe_what_the_policy_does_not_keep_from_them() {
    let probed = |line: &str| {
        let more = format!("portion \"cart\" {{\n {line}\n }}");
        with(&more).map(|p| p.portions[1].probe)
    };
    assert!(probed("").expect("a policy"));
    assert!(!probed("probe = false").expect("a policy"));
    let slip = probed("prob = false").expect_err("no such key").to_string();
    assert!(slip.contains("did you mean probe?"), "{slip}");
    assert!(probed("probe = 1").is_err());
}
