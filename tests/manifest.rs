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
    let documents: Vec<&str> = MANIFEST.split("\n---\n").collect();
    let [namespace, quota, daemons] = documents[..] else {
        anyhow::bail!("{} documents", documents.len());
    };
    let namespace = written(namespace)?;
    ensure!(namespace["kind"] == "Namespace");
    ensure!(unknown(daemons)? == [""; 0], "{:?}", unknown(daemons)?);
    // The check sees what it is for.
    let mistyped = daemons.replace("hostPID:", "hostPid:");
    ensure!(unknown(&mistyped)? == [".spec.template.spec.hostPid"]);
    let wrong = daemons.replace("periodSeconds: 15", "periodSeconds: often");
    ensure!(unknown(&wrong).is_err());

    let daemons = written(daemons)?;
    let pod = &daemons["spec"]["template"]["spec"];
    ensure!(pod["automountServiceAccountToken"] == false);
    let tag = concat!("chaosd:", env!("CARGO_PKG_VERSION"));
    for container in ["containers", "initContainers"] {
        ensure!(pod[container][0]["image"] == tag, "{container}: not {tag}");
        let mounts = pod[container][0]["volumeMounts"]
            .as_array()
            .context("none")?;
        ensure!(mounts.len() == pod["volumes"].as_array().context("none")?.len());
    }
    // Its priority is one that some clusters give to the namespaces of a quota alone.
    let quota = written(quota)?;
    ensure!(quota["kind"] == "ResourceQuota" && quota["spec"]["hard"]["pods"] == "1G");
    for document in [&quota, &daemons] {
        ensure!(document["metadata"]["namespace"] == namespace["metadata"]["name"]);
    }
    let scope = &quota["spec"]["scopeSelector"]["matchExpressions"][0];
    ensure!(scope["scopeName"] == "PriorityClass" && scope["operator"] == "In");
    ensure!(scope["values"] == serde_json::json!([pod["priorityClassName"]]));
    Ok(())
}

#[test]
fn the_lines_that_install_the_hook_are_whole() -> Result<()> {
    if run_with_input("kubectl", &["version", "--client"], "").is_err() {
        skip!(Ok(()), "there is no kubectl (Debian: kubernetes-client)");
    }
    let lines = MANIFEST.lines().map(|line| {
        let taken_in = line
            .strip_prefix("        #- ")
            .map(|rest| ("        - ", rest));
        let below = || {
            line.strip_prefix("        #  ")
                .map(|rest| ("          ", rest))
        };
        let (indent, rest) = taken_in.or_else(below).unwrap_or(("", line));
        format!("{indent}{rest}\n")
    });
    let manifest: String = lines.collect();
    let (_, daemons) = manifest.rsplit_once("\n---\n").context("one document")?;
    ensure!(unknown(daemons)? == [""; 0], "{:?}", unknown(daemons)?);
    let pod = &written(daemons)?["spec"]["template"]["spec"];
    let [revert, hook] = &pod["initContainers"].as_array().context("none")?[..] else {
        anyhow::bail!("{}", pod["initContainers"]);
    };
    ensure!(hook["image"] == revert["image"]);
    ensure!(hook["securityContext"] == revert["securityContext"]);
    // The node's root, which a pod sees by its first process alone.
    ensure!(pod["hostPID"] == true && hook["args"][3] == "/proc/1/root");
    let words = hook["args"].as_array().context("none")?;
    let words = words.iter().filter_map(Value::as_str);
    let said = support::Instance::new()?.cli(words.chain(["--help"]))?;
    ensure!(said.status == Some(0), "{said:?}");
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
