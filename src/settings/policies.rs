//! The policies that a configuration names: files, and folders of them.

use super::{Config, Error, read_policy};
use crate::model::Policy;
use std::path::{Path, PathBuf};

/// The policies of a configuration.
///
/// # Errors
/// What is wrong with one, where it is; a file or folder that cannot be read, where the configuration names it.
pub fn policies_of(file: &Path, config: &Config) -> Result<Vec<Policy>, Error> {
    read_policies(&config.policies).map_err(|e| match e {
        Error::Read { .. } => Error::At {
            file: file.display().to_string(),
            line: config.policies_at.0,
            column: config.policies_at.1,
            message: format!("policies: {e} (a path is taken from this file's folder)"),
        },
        other => other,
    })
}

/// The policies of all files; of a folder, all that end in `.hcl`.
///
/// # Errors
/// With the file's name, and line and column where it was read.
pub fn read_policies(paths: &[PathBuf]) -> Result<Vec<Policy>, Error> {
    let files = paths.iter().map(|path| files(path));
    let files = files.collect::<Result<Vec<_>, _>>()?.concat();
    let read = files.iter().map(|file| read_policy(file));
    let read: Vec<Policy> = read.collect::<Result<_, _>>()?;
    for (k, one) in read.iter().enumerate() {
        if read[..k].iter().any(|other| other.workload == one.workload) {
            return Err(Error::Twice {
                file: files[k].clone(),
                workload: one.workload.clone(),
            });
        }
    }
    Ok(read)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let unread = |source| Error::Read {
        path: path.to_path_buf(),
        source,
    };
    let entries = std::fs::read_dir(path).map_err(unread)?;
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(unread)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).collect();
    files.retain(|f| f.is_file() && f.extension().is_some_and(|e| e == "hcl"));
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::read_config;

    #[test]
    fn a_policy_that_is_not_there_is_told_with_the_configuration_and_the_path_tried() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.hcl");
        let told = |policies: &str| {
            let text = format!("policies = {policies}\ngateway \"g\" {{\n  site = \"s\"\n}}\n");
            std::fs::write(&file, text).unwrap();
            let config = read_config(&file).unwrap();
            policies_of(&file, &config).map_err(|e| e.to_string())
        };
        let error = told("[\"gone.hcl\"]").unwrap_err();
        let tried = folder.path().join("gone.hcl");
        let begins = format!("{}:1:12: policies: cannot read", file.display());
        assert!(error.starts_with(&begins), "{error}");
        assert!(error.contains(&tried.display().to_string()), "{error}");
        assert!(error.contains("create it, or correct the path"), "{error}");
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        assert_eq!(told("[\"empty\"]"), Ok(vec![]), "more may come");
    }

    #[test]
    fn a_folder_that_is_taken_for_a_policy_is_told_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_policy(folder.path()).unwrap_err().to_string();
        assert!(error.contains("name a file in that folder"), "{error}");
    }
}
