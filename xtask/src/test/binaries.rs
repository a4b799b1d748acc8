//! The test binaries, built once here and run under any kernel.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::step;
use crate::tree::Tree;

/// One test binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// The package it tests, the target too where its name is another: `chaosd`, `tests`.
    pub name: String,
    pub path: PathBuf,
    /// Where cargo would run it: the directory of its package.
    pub cwd: PathBuf,
}

/// A line of `cargo --message-format=json` (The Cargo Book, "External tools").
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds the tests of one package, or of all.
pub fn build(tree: &Tree, package: Option<&str>) -> Result<Vec<Binary>> {
    let started = std::time::Instant::now();
    step::heading("test binaries");
    let mut cargo = tree.cargo();
    cargo.args([
        "test",
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]);
    match package {
        Some(package) => cargo.args(["-p", package]),
        None => cargo.arg("--workspace"),
    };
    // What cargo has to say goes to the terminal; its messages for us are standard output.
    let output = cargo
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("failed to start cargo test --no-run")?;
    step::end("test binaries", started, output.status.success());
    ensure!(output.status.success(), "the tests do not compile");
    let mut found = binaries(&String::from_utf8_lossy(&output.stdout));
    // The quick ones first: what is broken there explains the rest.
    found.sort_by_key(|binary| (binary.name == "tests", binary.name.clone()));
    Ok(found)
}

fn binaries(messages: &str) -> Vec<Binary> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter_map(binary)
        .collect()
}

fn binary(message: Message) -> Option<Binary> {
    if message.reason != "compiler-artifact" || !message.profile?.test {
        return None;
    }
    let cwd = message.manifest_path?.parent()?.to_path_buf();
    let package = cwd.file_name()?.to_str()?;
    let kind = message.target?.kind;
    // A library's and a program's tests of the same package stay apart.
    let name = match kind.first().map(String::as_str) {
        Some("bin") if package != "xtask" => format!("{package} (program)"),
        Some("lib") if package == "tests" => "tests (support)".to_owned(),
        _ => package.to_owned(),
    };
    Some(Binary {
        name,
        path: message.executable?,
        cwd,
    })
}

#[cfg(test)]
mod tests {
    use super::binaries;

    #[test]
    fn only_the_test_binaries_are_taken_from_what_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/c/tests/Cargo.toml","target":{"kind":["bin"]},"profile":{"test":false},"executable":"/t/bench"}
{"reason":"compiler-artifact","manifest_path":"/c/chaosd/Cargo.toml","target":{"kind":["lib"]},"profile":{"test":true},"executable":"/t/chaosd-1"}
{"reason":"compiler-artifact","manifest_path":"/c/chaosd/Cargo.toml","target":{"kind":["bin"]},"profile":{"test":true},"executable":"/t/chaosd-2"}
{"reason":"build-finished","success":true}
not a message"#;
        let found: Vec<_> = binaries(messages)
            .into_iter()
            .map(|binary| (binary.name, binary.cwd))
            .collect();
        assert_eq!(
            found,
            [
                ("chaosd".to_owned(), "/c/chaosd".into()),
                ("chaosd (program)".to_owned(), "/c/chaosd".into()),
            ]
        );
    }
}
