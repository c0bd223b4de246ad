//! `foreshadow validate`: every file is read as what it is, and the first wrong place of each is told, to people, programs or a pull request.

use super::args::{ValidateArgs, ValidateFormat};
use super::{Exit, exit};
use crate::model::{JobSpec, counted};
use crate::{sandbox, settings};
use serde_json::{Value, json};
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// What is wrong with a file, and where, as far as that is known. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub file: String,
    pub at: Option<(usize, usize)>,
    /// One past the last column, in the same line.
    pub to: Option<usize>,
    pub message: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

pub fn validate(args: ValidateArgs) -> Result<ExitCode, Exit> {
    let read = args.files.iter().map(|path| (path, kind(path)));
    let all: Vec<_> = read.collect();
    match args.format {
        ValidateFormat::Json => {
            let list: Vec<Value> = all
                .iter()
                .map(|(path, found)| document(path, found))
                .collect();
            println!("{}", Value::from(list));
        }
        format => all.iter().for_each(|(path, found)| match found {
            Ok(what) => println!("{}: {what}", path.display()),
            // Runners read commands from both streams; on this one they stand where the file stands.
            Err(wrong) if format == ValidateFormat::Github => println!("{}", annotation(wrong)),
            Err(wrong) => eprintln!("{wrong}"),
        }),
    }
    Ok(match all.iter().all(|(_, found)| found.is_ok()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::USAGE),
    })
}

fn document(path: &Path, found: &Result<String, Wrong>) -> Value {
    let file = path.display().to_string();
    match found {
        Ok(what) => json!({ "file": file, "ok": true, "what": what }),
        Err(w) => json!({
            "file": file, "ok": false, "message": w.message,
            "line": w.at.map(|at| at.0), "column": w.at.map(|at| at.1),
        }),
    }
}

/// A workflow command that puts the message beside the line in a pull request:
/// <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>.
fn annotation(wrong: &Wrong) -> String {
    let mut properties = format!("file={}", property(&wrong.file));
    if let Some((line, column)) = wrong.at {
        properties += &format!(",line={line},col={column}");
    }
    if let (Some((line, _)), Some(to)) = (wrong.at, wrong.to) {
        properties += &format!(",endLine={line},endColumn={to}");
    }
    format!(
        "::error {properties},title=foreshadow::{}",
        data(&wrong.message)
    )
}

/// As the runner unescapes what follows the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

fn kind(path: &Path) -> Result<String, Wrong> {
    let name = path.display().to_string();
    let text = settings::read_text(path).map_err(|e| wrong(&name, e))?;
    if name.ends_with(".nomad.hcl") || name.ends_with(".nomad") || in_json(&text) {
        let job = job_from(&name, &text)?;
        let groups = counted(job.groups().count(), "group");
        return Ok(format!("job {} with {groups}", job.id()));
    }
    let mut lines = text.lines().map(str::trim_start);
    if lines.any(|l| l.starts_with("gateway ") || l.starts_with("policies ")) {
        let read = settings::read_config(path).and_then(|config| {
            let policies = settings::policies_of(path, &config)?;
            Ok((config, policies.len()))
        });
        let (config, policies) = read.map_err(|e| wrong(&name, e))?;
        return Ok(format!(
            "configuration of {} and {}, mode {}",
            counted(config.gateways.len(), "gateway"),
            counted(policies, "workload"),
            if config.act { "act" } else { "observe" }
        ));
    }
    let policy = settings::parse_policy(&name, &text).map_err(|e| wrong(&name, e))?;
    Ok(format!(
        "policy of {} with {}",
        policy.workload,
        counted(policy.portions.len(), "portion")
    ))
}

fn wrong(file: &str, error: settings::Error) -> Wrong {
    match error {
        settings::Error::At {
            file,
            line,
            column,
            message,
        } => Wrong {
            file,
            at: Some((line, column)),
            to: None,
            message,
        },
        settings::Error::Read { path, source } => Wrong {
            file: path.display().to_string(),
            at: None,
            to: None,
            message: format!(
                "cannot be read: {source}; {}",
                settings::remedy(source.kind())
            ),
        },
        other => Wrong {
            file: file.to_string(),
            at: None,
            to: None,
            message: other.to_string(),
        },
    }
}

/// No file in HCL begins so.
fn in_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// A job file, in HCL or as `nomad job inspect` prints it, as Nomad's API would give it.
pub(super) fn job_from(name: &str, text: &str) -> Result<JobSpec, Wrong> {
    if in_json(text) {
        return job_in_json(text).map_err(|(at, message)| Wrong {
            file: name.to_string(),
            at,
            to: None,
            message,
        });
    }
    let parsed = sandbox::nomad::parse_job(text).map_err(|e| Wrong {
        file: name.to_string(),
        at: Some((e.line, e.column)),
        to: Some(e.end_column),
        message: format!("{}; {}", e.summary, e.detail),
    })?;
    Ok(JobSpec::new(parsed))
}

/// Where a file is wrong, as far as that is known, and why.
type At = (Option<(usize, usize)>, String);

/// A job as Nomad's API has it, bare or as `{"Job": …}`.
fn job_in_json(text: &str) -> Result<JobSpec, At> {
    let mut given: Value = serde_json::from_str(text).map_err(|e| {
        let at = Some((e.line(), e.column()));
        (at, format!("this is no JSON: {e}"))
    })?;
    let job = given.get_mut("Job").map(Value::take).unwrap_or(given);
    let named = job.get("ID").and_then(Value::as_str);
    let groups = job.get("TaskGroups").and_then(Value::as_array);
    if named.is_none_or(str::is_empty) || groups.is_none() {
        let like = "give what `nomad job inspect JOB` or `nomad job run -output FILE` prints, or a job in HCL";
        let why = format!(
            "no job of Nomad's: a job has an ID and TaskGroups, alone or within \"Job\"; {like}"
        );
        return Err((None, why));
    }
    Ok(JobSpec::new(job))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_names_file_line_and_column_and_escapes_what_would_end_it() {
        let wrong = Wrong {
            file: "a,b:c%.hcl".into(),
            at: Some((3, 7)),
            to: None,
            message: "100 % of\r\nnothing: \"x\"".into(),
        };
        assert_eq!(
            annotation(&wrong),
            "::error file=a%2Cb%3Ac%25.hcl,line=3,col=7,title=foreshadow::100 %25 of%0D%0Anothing: \"x\""
        );
        let nowhere = Wrong {
            at: None,
            ..wrong.clone()
        };
        assert!(annotation(&nowhere).starts_with("::error file=a%2Cb%3Ac%25.hcl,title="));
        let range = Wrong {
            to: Some(9),
            ..wrong
        };
        assert!(annotation(&range).contains(",line=3,col=7,endLine=3,endColumn=9,"));
    }

    #[test]
    fn a_wrong_job_is_told_with_its_own_name_and_place() {
        let wrong = job_from("x.nomad.hcl", "job \"a\" {\n  grupp \"b\" {}\n}\n").unwrap_err();
        assert_eq!((wrong.at, wrong.to), (Some((2, 3)), Some(8)));
        assert!(
            wrong.to_string().starts_with("x.nomad.hcl:2:3: "),
            "{wrong}"
        );
    }

    #[test]
    fn a_job_in_json_is_taken_bare_and_as_nomad_wraps_it() {
        let job = json!({ "ID": "shop", "TaskGroups": [{ "Name": "web" }] });
        let wrapped = json!({ "Job": job });
        for text in [job.to_string(), format!("\n{wrapped:#}")] {
            let read = job_from("job.json", &text).unwrap();
            assert_eq!((read.id().as_str(), read.groups().count()), ("shop", 1));
        }
        let told = |text: &str| job_from("job.json", text).unwrap_err().to_string();
        let none = told("{\"Jobs\": []}");
        assert!(none.contains("`nomad job inspect JOB`"), "{none}");
        let broken = told("{\n  \"ID\": shop\n}");
        assert!(broken.starts_with("job.json:2:"), "{broken}");
    }
}
