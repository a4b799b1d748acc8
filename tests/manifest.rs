//! The manifest for Kubernetes, held against the types of kubectl itself: no server is asked.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use support::{run_with_input, skip};

const MANIFEST: &str = include_str!("../chaosd/dist/daemonset.yaml");
const DOCKERFILE: &str = include_str!("../chaosd/dist/Dockerfile");

/// As it is written.
fn written(document: &str) -> Result<Value> {
    let words = ["annotate", "--local", "-f", "-", "-o", "json", "lab=1"];
    Ok(serde_json::from_str(&run_with_input(
        "kubectl", &words, document,
    )?)?)
}

/// As kubectl understands it: a field that its types do not have is gone.
fn understood(document: &str) -> Result<Value> {
    let words = ["set", "env", "--local", "-f", "-", "-o", "json", "LAB=1"];
    Ok(serde_json::from_str(&run_with_input(
        "kubectl", &words, document,
    )?)?)
}

/// What is in the first and not, or not the same, in the second.
fn lost(written: &Value, understood: &Value, at: &str, found: &mut Vec<String>) {
    match (written, understood) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                let at = format!("{at}.{key}");
                lost(value, b.get(key).unwrap_or(&Value::Null), &at, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (a, b)) in a.iter().zip(b).enumerate() {
                lost(a, b, &format!("{at}[{n}]"), found);
            }
        }
        (a, b) if a == b => {}
        _ => found.push(at.to_owned()),
    }
}

/// Fields of a document that kubectl does not know.
fn unknown(document: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    lost(&written(document)?, &understood(document)?, "", &mut found);
    // What the two commands add themselves.
    found.retain(|at| at != ".metadata.annotations");
    Ok(found)
}

#[test]
fn kubectl_knows_every_field_of_the_manifest() -> Result<()> {
    if run_with_input("kubectl", &["version", "--client"], "").is_err() {
        skip!(Ok(()), "there is no kubectl (Debian: kubernetes-client)");
    }
    let (namespace, daemons) = MANIFEST.split_once("\n---\n").context("two documents")?;
    ensure!(written(namespace)?["kind"] == "Namespace");
    ensure!(unknown(daemons)? == [""; 0], "{:?}", unknown(daemons)?);
    // The check sees what it is for.
    let mistyped = daemons.replace("hostPID:", "hostPid:");
    ensure!(unknown(&mistyped)? == [".spec.template.spec.hostPid"]);
    let wrong = daemons.replace("periodSeconds: 15", "periodSeconds: often");
    ensure!(unknown(&wrong).is_err());

    let pod = &written(daemons)?["spec"]["template"]["spec"];
    ensure!(pod["automountServiceAccountToken"] == false);
    let tag = concat!("chaosd:", env!("CARGO_PKG_VERSION"));
    for container in ["containers", "initContainers"] {
        ensure!(pod[container][0]["image"] == tag, "{container}: not {tag}");
        let mounts = pod[container][0]["volumeMounts"]
            .as_array()
            .context("none")?;
        ensure!(mounts.len() == pod["volumes"].as_array().context("none")?.len());
    }
    Ok(())
}

#[test]
fn the_image_holds_what_the_manifest_starts() {
    let copied = DOCKERFILE
        .lines()
        .find_map(|line| line.strip_prefix("COPY chaosd "));
    let copied = copied.map(Path::new);
    assert_eq!(copied, Some(Path::new("/usr/bin/chaosd")));
    assert!(DOCKERFILE.contains("\nFROM scratch\n"));
    assert!(MANIFEST.contains("command: [/usr/bin/chaosd, status]"));
}
