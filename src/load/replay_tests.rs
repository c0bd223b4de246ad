use super::*;
use proptest::prelude::*;

fn log(lines: &[(&str, u64)]) -> AccessLog {
    let text: Vec<String> = lines
        .iter()
        .map(|(request, ms)| {
            format!(
                r#"{{"time":{},"request":"{request}"}}"#,
                971_211_336_000 + ms
            )
        })
        .collect();
    AccessLog::parse(&text.join("\n"), "access.log", &[]).unwrap()
}

fn safe() -> Vec<String> {
    LoadPolicy::default().methods
}

#[test]
fn only_safe_methods_are_replayed_unless_the_policy_names_others() {
    let log = log(&[("GET /a", 0), ("POST /b", 10), ("HEAD /c", 20)]);
    let replay = Replay::of_log(&log, "access.log", &safe()).unwrap();
    let paths: Vec<String> = (0..3)
        .map(|n| replay.request(n, 1).path().to_string())
        .collect();
    assert_eq!(paths, ["/a", "/c", "/a"]);
    assert!(
        replay.sentence.contains("1 left out for their method"),
        "{}",
        replay.sentence
    );
    let all = Replay::of_log(&log, "access.log", &["GET".into(), "post".into()]).unwrap();
    assert_eq!(all.request(1, 1).path(), "/b");
    let none = Replay::of_log(&log, "access.log", &["PUT".into()]).unwrap_err();
    assert!(
        none.to_string()
            .contains("all of its 3 requests are left out: only PUT")
    );
}

#[test]
fn a_log_is_played_at_its_own_times_or_faster_over_and_over() {
    let log = log(&[("GET /a", 0), ("GET /b", 100), ("GET /c", 400)]);
    let replay = Replay::of_log(&log, "access.log", &safe()).unwrap();
    let ms = |schedule: Schedule| schedule.map(|t| t.as_millis()).collect::<Vec<_>>();
    let second = Duration::from_secs(1);
    // The mean distance, 200 ms, lies between the last request and the first of the next round.
    assert_eq!(ms(replay.own_times(1.0, second)), [0, 100, 400, 600, 700]);
    assert_eq!(
        ms(replay.own_times(2.0, second / 2)),
        [0, 50, 200, 300, 350]
    );
    assert_eq!(replay.own_rate(), Some(Rps(5.0)));
    assert_eq!(
        ms(replay.schedule(Arrivals::Own, Rps(10.0), second / 2, 1)),
        [0, 50, 200, 300, 350]
    );
}

#[test]
fn requests_of_one_second_are_spread_over_it_where_the_log_knows_no_finer_time() {
    let log = log(&[("GET /a", 0), ("GET /b", 0), ("GET /c", 1_000)]);
    let replay = Replay::of_log(&log, "access.log", &safe()).unwrap();
    let times: Vec<_> = replay.own_times(1.0, Duration::from_secs(2)).collect();
    assert_eq!(times, [0, 500, 1_000].map(Duration::from_millis));
}

#[test]
fn a_mix_is_drawn_by_weight_and_the_same_seed_draws_the_same() {
    let part = |path: &str, weight| MixPart {
        method: "GET".into(),
        path: path.into(),
        weight,
    };
    let replay = Replay::of_mix(&[part("/a", 3.0), part("/b", 1.0), part("/never", 0.0)]).unwrap();
    let draw = |seed| {
        (0..4_000)
            .map(|n| replay.request(n, seed).path().to_string())
            .collect::<Vec<_>>()
    };
    let drawn = draw(7);
    assert_eq!(drawn, draw(7));
    let a = drawn.iter().filter(|p| *p == "/a").count();
    assert!((2_850..3_150).contains(&a), "{a} of 4000 at three quarters");
    assert!(!drawn.iter().any(|p| p == "/never"));
    assert!(Replay::of_mix(&[part("no path", 1.0)]).is_err());
}

#[test]
fn without_a_log_or_a_mix_the_portions_path_is_sent_and_has_no_times_of_its_own() {
    let mut policy = LoadPolicy::default();
    let replay = Replay::new(&policy, "/work?x=1").unwrap();
    assert_eq!(replay.request(5, 1).path(), "/work?x=1");
    policy.arrivals = Arrivals::Own;
    assert!(matches!(
        Replay::new(&policy, "/"),
        Err(ReplayError::NoTimes)
    ));
}

proptest! {
    #[test]
    fn a_log_played_at_a_rate_has_that_rate_whatever_its_own(
        gaps in prop::collection::vec(1u64..5_000, 2..50), rate in 1.0f64..500.0
    ) {
        let mut at = 0;
        let rows: Vec<(&str, u64)> = gaps.iter().map(|g| { at += g; ("GET /", at) }).collect();
        let replay = Replay::of_log(&log(&rows), "l", &safe()).unwrap();
        let round = gaps.len() as f64 / rate;
        let lasts = Duration::from_secs_f64(round * 10.0);
        let sent = replay.schedule(Arrivals::Own, Rps(rate), lasts, 1).count() as f64;
        prop_assert!((sent / (10.0 * gaps.len() as f64) - 1.0).abs() < 0.11, "{sent} of {}", 10 * gaps.len());
    }
}
