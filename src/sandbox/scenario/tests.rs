use super::*;
use crate::sandbox::block::Block;
use crate::sandbox::estate::Estate;
use tokio::time::Instant;

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse(text, "day.hcl", &Estate::builtin(Block::default()))
}

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[test]
fn the_day_kills_a_node_cuts_a_site_and_heals_it_within_three_minutes() {
    let day = parse(DAY).unwrap();
    assert!(day.length <= secs(180));
    let happens: Vec<_> = day
        .incidents
        .iter()
        .map(|i| (i.at, i.fault.clone()))
        .collect();
    let expected = [
        (secs(80), Fault::KillNode("edge-a-2".into())),
        (secs(105), Fault::CutSite(Site::from("edge-b"))),
        (secs(130), Fault::HealSite(Site::from("edge-b"))),
    ];
    assert_eq!(happens, expected);
}

#[test]
fn a_fault_answers_for_its_own_losses_and_only_until_it_can_be_detected() {
    let day = parse(DAY).unwrap();
    let asked = |at, site: &str, node: &str| {
        let found = day.explains(secs(at), &[Site::from(site)], &[NodeId::from(node)]);
        found.map(|i| i.fault.to_string())
    };
    let dies = Some("node edge-a-2 dies".to_string());
    assert_eq!(asked(79, "edge-a", "edge-a-2"), None);
    assert_eq!(asked(80, "edge-a", "edge-a-2"), dies);
    assert_eq!(asked(85, "edge-a", "edge-a-2"), dies);
    assert_eq!(asked(86, "edge-a", "edge-a-2"), None);
    assert_eq!(asked(82, "edge-a", "edge-a-1"), None);
    let cut = Some("site edge-b is cut off".to_string());
    assert_eq!(asked(106, "edge-b", "edge-a-1"), cut);
}

#[test]
fn a_site_that_heals_slowly_answers_longer_for_its_return_and_for_nothing_else() {
    let mut day = parse(DAY).unwrap();
    let before = day.clone();
    day.heals_slowly(&Site::from("edge-a"), secs(33));
    assert_eq!(day, before);
    day.heals_slowly(&Site::from("edge-b"), secs(33));
    let graces =
        |s: &Scenario| -> Vec<_> { s.incidents.iter().map(|i| i.explains.grace).collect() };
    assert_eq!(graces(&day)[..2], graces(&before)[..2]);
    assert_eq!(graces(&day)[2], secs(33));
}

#[test]
fn a_wrong_scenario_is_shown_its_place_and_what_was_expected() {
    let cases = [
        (
            "length = \"1s\"\nlenght = 2\n",
            2,
            1,
            "did you mean `length`",
        ),
        ("length = 5\n", 1, 10, "text in quotes"),
        ("length = \"5\"\n", 1, 10, "80s"),
        (
            "length = \"9s\"\nat \"3x\" {\n  cut_site = \"edge-a\"\n}\n",
            2,
            4,
            "3x",
        ),
        (
            "length = \"9s\"\nat \"3s\" {\n  cut_site = \"edge-c\"\n}\n",
            3,
            14,
            "edge-b",
        ),
        (
            "length = \"9s\"\nat \"3s\" {\n  kil_node = \"edge-a-1\"\n}\n",
            3,
            3,
            "kill_node",
        ),
        ("length = \"9s\"\nat \"3s\" {\n}\n", 2, 1, "what happens"),
        (
            "length = \"9s\"\nat \"30s\" {\n  cut_site = \"edge-a\"\n}\n",
            2,
            1,
            "ended",
        ),
        (
            "length = \"9s\"\nat \"3s\" {\n  cut_site = \"edge-a\"\n  explains {\n  }\n}\n",
            4,
            3,
            "for",
        ),
        ("length = \"9s\"\nrps = -1\n", 2, 7, "rps = 20"),
        ("length = \n", 1, 10, ""),
        ("at \"3s\" {\n  cut_site = \"edge-a\"\n}\n", 1, 1, "length"),
    ];
    for (text, line, column, said) in cases {
        let e = parse(text).unwrap_err();
        assert_eq!((e.line, e.column), (line, column), "{text}\n{e}");
        assert!(e.what.contains(said), "{text}\n{e}");
        assert!(e.to_string().starts_with("day.hcl:"), "{e}");
    }
}

#[test]
fn clients_may_ask_for_the_same_all_the_time() {
    assert_eq!(parse("length = \"9s\"\n").unwrap().rps, None);
    let steady = parse("length = \"9s\"\nrps = 2.5\n").unwrap();
    assert_eq!(steady.rps, Some(2.5));
}

#[test]
fn a_class_of_nodes_may_slow_down_and_recover() {
    let text = "length = \"9s\"\nat \"1s\" {\n  class_speed = { std = 25 }\n}\nat \"5s\" {\n  class_speed = { \"std\" = 100 }\n}\n";
    let happens: Vec<_> = parse(text)
        .unwrap()
        .incidents
        .into_iter()
        .map(|i| i.fault)
        .collect();
    let speed = |percent| Fault::ClassSpeed {
        class: "std".into(),
        percent,
    };
    assert_eq!(happens, [speed(25), speed(100)]);
    assert!(!happens[0].is_loss() && happens[0].domain().is_none());
    for (value, said) in [
        ("{ stx = 25 }", "did you mean `std`"),
        ("{ std = 0 }", "from 1 to 100"),
        ("{ std = \"25\" }", "from 1 to 100"),
        ("\"std\"", "{ std = 25 }"),
        ("{ std = 25, spot = 5 }", "{ std = 25 }"),
    ] {
        let e = parse(&format!(
            "length = \"9s\"\nat \"1s\" {{\n  class_speed = {value}\n}}\n"
        ))
        .unwrap_err();
        assert_eq!(e.line, 3, "{e}");
        assert!(e.what.contains(said), "{value}: {e}");
    }
}

#[test]
fn incidents_come_in_the_order_of_time_whatever_the_order_of_the_file() {
    let text = "length = \"1m30s\"\nat \"80s\" {\n  revive_node = \"edge-a-1\"\n}\nat \"1500ms\" {\n  kill_node = \"edge-a-1\"\n}\n";
    let scenario = parse(text).unwrap();
    assert_eq!(scenario.length, secs(90));
    assert_eq!(scenario.incidents[0].at, Duration::from_millis(1500));
    assert_eq!(scenario.incidents[0].explains, Explains::default());
    assert!(scenario.incidents[0].fault.is_loss() && !scenario.incidents[1].fault.is_loss());
}

#[tokio::test(start_paused = true)]
async fn the_player_gives_each_incident_at_its_time_and_ends_with_the_scenario() {
    let start = Instant::now();
    let mut player = Player::new(&parse(DAY).unwrap(), start);
    let mut times = Vec::new();
    while let Some(incident) = player.next().await {
        assert_eq!(incident.at, start.elapsed());
        times.push(incident.at.as_secs());
    }
    assert_eq!(times, [80, 105, 130]);
    assert_eq!(start.elapsed(), secs(165));
}
