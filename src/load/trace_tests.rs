use super::*;
use std::collections::BTreeSet;

fn error(text: &str) -> String {
    parse_series(text, "shop.csv").unwrap_err().to_string()
}

#[test]
fn errors_name_the_file_the_line_and_what_was_expected() {
    let head = "timestamp,value\n2026-03-04T00:00:00Z,10\n";
    assert_eq!(
        error("time,value\n"),
        "shop.csv:1: expected the header `timestamp,value`, found `time,value`"
    );
    assert!(error(&format!("{head}2026-03-04T00:10:00Z\n")).starts_with("shop.csv:3: expected 2"));
    assert!(error(&format!("{head}\nyesterday,3\n")).starts_with("shop.csv:4: `yesterday`"));
    assert!(
        error(&format!("{head}2026-03-04T00:10:00Z,-1\n"))
            .starts_with("shop.csv:3: `-1` is not a number")
    );
    assert!(
        error(&format!("{head}2026-03-04T00:10:00Z,inf\n"))
            .starts_with("shop.csv:3: `inf` is not a number")
    );
    assert!(
        error(&format!("{head}2026-03-04T00:00:00Z,1\n"))
            .starts_with("shop.csv:3: timestamps must grow")
    );
    assert!(error("timestamp,value\n").contains("no values"));
    assert!(error("").starts_with("shop.csv:1: expected the header"));
    let kind = parse_events(
        "timestamp,subject,kind\n2026-03-04T00:00:00Z,edge-a-2,gone\n",
        "e.csv",
    );
    assert!(
        kind.unwrap_err()
            .to_string()
            .starts_with("e.csv:2: `gone` is not a kind")
    );
    let missing = read_series(Path::new("/nowhere/shop.csv")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/shop.csv"));
}

#[test]
fn gaps_are_left_out_and_interpolated_over() {
    let text = "timestamp,value\n2026-03-04T00:00:00Z,10\n2026-03-04T00:10:00Z,\n2026-03-04T00:20:00Z,NaN\n2026-03-04T01:00:00Z,70\n";
    let series = parse_series(text, "t").unwrap();
    assert_eq!(series.len(), 2);
    let rate = Rate::new(&series, series[0].0, 6.0);
    assert_eq!(rate.at(Duration::ZERO), 10.0);
    assert!((rate.at(Duration::from_secs(2)) - 30.0).abs() < 1e-9);
    assert_eq!(rate.at(Duration::from_secs(60)), 70.0);
    assert!((rate.scaled(0.5).at(Duration::from_secs(3)) - 20.0).abs() < 1e-9);
}

#[test]
fn an_hour_of_trace_takes_the_seconds_that_compression_says_both_ways() {
    let day = 86_400_000;
    let c = Compression {
        trace: Moment(7 * day),
        real: Moment(1_000_000),
        seconds_per_hour: 6.0,
    };
    assert_eq!(c.real(Moment(7 * day + 3_600_000)), Moment(1_006_000));
    // A day earlier is a season of 144 s earlier.
    assert_eq!(c.real(Moment(6 * day)), Moment(1_000_000 - 144_000));
    assert_eq!(
        c.trace_after(Duration::from_secs(6)),
        Moment(7 * day + 3_600_000)
    );
    let past = c.history(&[(Moment(6 * day), 1.0), (Moment(7 * day), 2.0)]);
    assert_eq!(past, [(Moment(856_000), 1.0)]);
}

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("assets/traces")
        .join(name)
}

const STEPS_A_DAY: usize = 144;

#[test]
fn the_shop_trace_has_nine_regular_days_with_quiet_nights_and_a_morning_surge() {
    let series = read_series(&asset("shop.csv")).unwrap();
    assert_eq!(series.len(), 9 * STEPS_A_DAY);
    assert!(
        series
            .windows(2)
            .all(|w| w[1].0.since(w[0].0) == Span::secs(600))
    );
    for (number, day) in series.chunks(STEPS_A_DAY).enumerate() {
        let hours = |from: usize, to: usize| day[from * 6..to * 6].iter().map(|p| p.1);
        let night = hours(1, 4).sum::<f64>() / 18.0;
        assert!((7.0..13.0).contains(&night), "night {night} of {number}");
        let surge = hours(7, 10).fold(0.0, f64::max);
        assert!((64.0..=82.0).contains(&surge), "surge {surge} of {number}");
        let rest = hours(11, 24).fold(0.0, f64::max);
        assert!(rest < surge, "day {number}: {rest} outside the surge");
    }
    let played = series[7 * STEPS_A_DAY..]
        .iter()
        .map(|p| p.1)
        .fold(0.0, f64::max);
    assert!((75.0..=82.0).contains(&played), "played peak {played}");
}

#[test]
fn the_shop_events_are_history_alone_come_in_pairs_and_do_not_give_the_scenario_away() {
    let series = read_series(&asset("shop.csv")).unwrap();
    let events = read_events(&asset("shop-events.csv")).unwrap();
    let played = series[7 * STEPS_A_DAY].0;
    let mut down = BTreeSet::new();
    for event in &events {
        assert!(event.at >= series[0].0 && event.at < played);
        let changed = if event.up {
            down.remove(&event.subject)
        } else {
            down.insert(event.subject.clone())
        };
        assert!(changed, "{event:?} changes nothing");
        let minute = event.at.0 / 60_000 % 1440;
        assert!(event.up || (minute != 13 * 60 + 20 && minute != 17 * 60 + 30));
    }
    assert!(down.is_empty(), "{down:?} never came back");
    let failures = |subject: &str, hours: std::ops::Range<i64>| {
        events
            .iter()
            .filter(|e| e.subject == subject && !e.up)
            .filter(|e| hours.contains(&(e.at.0 / 3_600_000 % 24)))
            .count()
    };
    assert!(failures("edge-a-2", 12..15) >= 4);
    assert!(failures("edge-b", 16..19) >= 4);
}
