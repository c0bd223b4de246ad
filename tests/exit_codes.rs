//! The codes that the program ends with: what scripts stand on is what help, manual page and the operator's table say.
#![allow(clippy::disallowed_methods)] // the environment says which binary is tested

#[path = "scheduler/program.rs"]
mod program;
#[path = "common/served.rs"]
mod served;

use foreshadow::engine::view::{Command as Asked, Following, View};
use foreshadow::model::{Epoch, Moment, Share, Span};
use foreshadow::tui::sample;
use program::binary;
use served::{ACT, served};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

fn foreshadow(args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    let run = command.args(args).env("FORESHADOW_ACT_TOKEN", ACT).output();
    run.expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(args: &[&str]) -> Option<i32> {
    foreshadow(args).status.code()
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).expect("a file of the repository")
}

/// Those that the program has names for, and 0.
fn given() -> BTreeSet<u8> {
    let source = read("src/cli/mod.rs");
    let named = source.lines().filter_map(|line| {
        let (_, number) = line
            .trim()
            .strip_prefix("pub const ")?
            .split_once(": u8 = ")?;
        number.trim_end_matches(';').parse().ok()
    });
    named.chain([0]).collect()
}

/// The numbers of a sentence such as "Exit codes: 0 done · 1 failed", wherever its lines are broken.
fn listed(text: &str) -> BTreeSet<u8> {
    let (_, list) = text.split_once("Exit codes:").expect("a list of codes");
    let words = list.split_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn help_manual_page_and_the_operators_table_name_every_code_that_the_program_gives() {
    let given = given();
    assert!(given.len() > 5, "{given:?}");
    let help = foreshadow(&["--help"]);
    assert!(help.status.success(), "{help:?}");
    assert_eq!(listed(&text(&help.stdout)), given);
    let manual = text(&foreshadow(&["man"]).stdout);
    assert_eq!(listed(&manual), given);
    let document = read("docs/operations.md");
    let (_, after) = document.split_once("## Exit codes\n").expect("a table");
    let table = after.split("\n## ").next().expect("its section");
    let rows = table
        .lines()
        .filter_map(|l| l.strip_prefix("| ")?.split(' ').next()?.parse().ok());
    assert_eq!(rows.collect::<BTreeSet<u8>>(), given);
}

#[test]
fn bad_usage_ends_with_64_and_not_with_what_says_that_there_are_changes() {
    for args in [&["run"][..], &["plan", "--bogus"], &["bogus"], &[]] {
        let run = foreshadow(args);
        assert_eq!(run.status.code(), Some(64), "{args:?}: {run:?}");
        assert!(text(&run.stderr).contains("Usage:"), "{run:?}");
    }
    assert_eq!(code(&["--version"]), Some(0));
}

/// What a foreshadow shows that leads, or one that heard of its leader.
fn view(led_by: Option<&str>) -> View {
    View {
        following: led_by.map(|leader| Following {
            leader: leader.into(),
            epoch: Epoch(7),
            at: Moment(0),
            age: Span(0),
            read: Span(0),
            deaf: None,
            log: vec![],
        }),
        ..View::default()
    }
}

#[test]
fn what_the_leader_alone_plans_ends_with_75_where_a_follower_was_asked() {
    let mut served = served(view(None));
    let at = format!("http://{}", served.at);
    let abort = ["abort", "--attach", &at];
    assert_eq!(code(&abort), Some(0));
    served
        .views
        .send_replace(Arc::new(view(Some("edge-a (pid 7)"))));
    let run = foreshadow(&abort);
    assert_eq!(run.status.code(), Some(75), "{run:?}");
    assert!(text(&run.stderr).contains("edge-a (pid 7)"), "{run:?}");
    for _ in 0..2 {
        let asked = served.asked.try_recv().expect("it was asked");
        assert!(matches!(asked, Asked::By { asked, .. } if *asked == Asked::Abort));
    }
    // Its files are those of the one that is asked.
    assert_eq!(code(&["reload", "--attach", &at]), Some(0));
    let nowhere = ["switch", "web", "--to", "nowhere", "--attach", &at];
    assert_eq!(code(&nowhere), Some(64));
}

#[test]
fn a_foreshadow_that_is_not_there_ends_with_69() {
    let gone = served(view(None));
    let at = format!("http://{}", gone.at);
    drop(gone);
    assert_eq!(code(&["abort", "--attach", &at]), Some(69));
}

#[test]
fn a_switch_to_where_all_is_served_already_ends_well_and_says_so() {
    let mut served = served(sample::shop());
    let at = format!("http://{}", served.at);
    let mut view = sample::shop();
    let web = &mut view.portions[0];
    let id = web.id.to_string();
    web.moving = None;
    let site = web.instances[0].site.clone();
    web.instances.retain(|i| i.site == site);
    web.instances[0].desired = Share::ALL;
    served.views.send_replace(Arc::new(view));
    let run = foreshadow(&["switch", &id, "--to", site.as_str(), "--attach", &at]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let said = text(&run.stdout);
    assert!(
        said.contains(&format!("{id} is served from {site} already")),
        "{said}"
    );
    assert!(
        served.asked.try_recv().is_ok(),
        "it is asked for all the same"
    );
}

#[test]
fn a_configuration_that_is_named_wins_over_the_variable_and_conflicts_with_the_flag_alone() {
    let served = served(view(None));
    let at = format!("http://{}", served.at);
    let with_api = |args: &[&str]| {
        let mut command = Command::new(binary());
        let run = command.args(args).env("FORESHADOW_API", &at).output();
        run.expect("the binary runs")
    };
    let here = with_api(&["tui", "--config", "no/such.hcl"]);
    assert_eq!(here.status.code(), Some(64));
    let said = text(&here.stderr);
    assert!(said.contains("cannot read no/such.hcl"), "{said}");
    let both = with_api(&["tui", "--config", "no/such.hcl", "--attach", &at]);
    assert!(
        text(&both.stderr).contains("cannot be used with"),
        "{both:?}"
    );
    let asked = with_api(&["profiles"]);
    assert_eq!(
        asked.status.code(),
        Some(0),
        "others take the variable: {asked:?}"
    );
}
