//! What is asked and what is answered.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{Server, ask, read, request};
use crate::{
    api::{ClientError, ErrorKind, RunRequest, metrics, openapi, routes},
    report::{Ended, Phase},
};

const DROP: &str = "version: 1\nfaults: [{name: lossy, drop: {rate: 10%}}]";

fn drop_request() -> RunRequest {
    RunRequest {
        profile: DROP.into(),
        ..RunRequest::default()
    }
}

#[tokio::test]
async fn a_run_is_armed_shown_reverted_and_reverted_again() {
    let server = Server::start("life");
    let client = server.client();
    let armed = client.start(&drop_request()).await.unwrap();
    assert_eq!(client.report(&armed.id).await.unwrap().id, armed.id);
    let first = client.revert(&armed.id, Ended::Reverted).await.unwrap();
    let second = client.revert(&armed.id, Ended::Reverted).await.unwrap();
    assert_eq!(first.ended, second.ended);
    assert_eq!(first.ended, Some(Ended::Reverted));
    let armed = client.start(&drop_request()).await.unwrap();
    let over = client.revert(&armed.id, Ended::CommandEnded).await.unwrap();
    assert_eq!(over.ended, Some(Ended::CommandEnded));
    assert!(client.revert_all().await.unwrap().is_empty());
    assert_eq!(client.status().await.unwrap().runs.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_long_poll_is_answered_when_the_run_is_over() {
    let server = Server::start("wait");
    let client = server.client();
    let armed = client.start(&drop_request()).await.unwrap();
    let waiting = client.wait(&armed.id);
    let (over, ended) = tokio::join!(waiting, client.revert_all());
    assert_eq!(over.unwrap().id, ended.unwrap()[0].id);
    server.stop().await;
}

#[tokio::test]
async fn a_profile_may_be_an_object_and_settings_win_over_it() {
    let server = Server::start("object");
    let body = json!({
        "profile": {"version": 1, "for": "5m", "faults": [{"partition": {}}]},
        "name": "cut", "for": "2m", "seed": 7, "target": {"host": true},
    });
    let (status, run) = ask(&server, "POST /v1/runs", &body.to_string()).await;
    assert_eq!(status, 201);
    assert_eq!(
        (&run["profile"], &run["seed"], &run["for-seconds"]),
        (&json!("cut"), &json!(7), &json!(120.0))
    );
    server.stop().await;
}

#[tokio::test]
async fn all_problems_of_a_profile_are_told_with_their_places() {
    let server = Server::start("problems");
    let body =
        json!({"profile": "version: 1\nfaults:\n- drop: {rtae: 10%}\n  match: {ports: [99999]}\n"});
    let (status, answer) = ask(&server, "POST /v1/runs", &body.to_string()).await;
    assert_eq!(status, 422);
    assert_eq!(answer["kind"], "profile");
    let problems = answer["problems"].as_array().unwrap();
    assert!(problems.len() >= 2, "{problems:?}");
    assert_eq!(problems[0]["line"], 3);
    assert!(
        answer["error"].as_str().unwrap().contains("`rate`"),
        "{answer}"
    );
    server.stop().await;
}

#[tokio::test]
async fn refusals_keep_their_kind_on_the_way_to_the_command_line() {
    let server = Server::start("refusals");
    let client = server.client();
    let kind = |error| match error {
        ClientError::Refused(body) => body.kind,
        other => panic!("{other}"),
    };
    let nobody = client.report("r-ffffffff").await.unwrap_err();
    assert_eq!(kind(nobody), ErrorKind::NoSuchRun);
    let text = "version: 1\ntarget: {pid: 1}\nfaults: [{partition: {}}]";
    let request = RunRequest {
        profile: text.into(),
        ..RunRequest::default()
    };
    let target = client.start(&request).await.unwrap_err();
    assert_eq!(kind(target), ErrorKind::Target);
    let body = serde_json::to_string(&drop_request()).unwrap();
    assert_eq!(ask(&server, "POST /v1/plan", &body).await.0, 501);
    server.stop().await;
}

#[tokio::test]
async fn bad_requests_get_their_status_and_json() {
    let server = Server::start("bad");
    for (line, body, status) in [
        ("POST /v1/runs", "{", 400),
        ("POST /v1/runs", "", 400),
        ("POST /v1/runs", "[]", 400),
        ("POST /v1/runs", r#"{"profile": "", "fro": "2m"}"#, 400),
        ("GET /v1/runs/r-00000001", "", 404),
        ("GET /v1/runs/nonsense", "", 404),
        ("GET /v1/runs/%ff", "", 400),
        ("DELETE /v1/runs/..%2f..%2fetc", "", 404),
        ("GET /v1/runs/r-00000001?wait=maybe", "", 400),
        ("GET /v2/runs", "", 404),
        ("GET /", "", 404),
        ("PUT /v1/runs", "", 405),
        ("POST /metrics", "", 405),
    ] {
        let (found, answer) = ask(&server, line, body).await;
        assert_eq!(found, status, "{line} {body}: {answer}");
        assert!(answer["error"].is_string(), "{line}: {answer}");
        assert!(answer["kind"].is_string(), "{line}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn status_and_doctor_answer() {
    let server = Server::start("status");
    let (status, answer) = ask(&server, "GET /v1/status", "").await;
    assert_eq!(status, 200);
    assert_eq!(answer["daemon"]["pid"], std::process::id());
    assert_eq!(answer["daemon"]["watchdog_pid"], 1);
    assert_eq!(answer["daemon"]["attach"], "clsact");
    assert_eq!(ask(&server, "GET /v1/doctor", "").await.1["ready"], true);
    server.stop().await;
}

#[tokio::test]
async fn metrics_count_what_faults_did() {
    let server = Server::start("metrics");
    let client = server.client();
    client.start(&drop_request()).await.unwrap();
    let text = metrics::text(&client.status().await.unwrap());
    for line in [
        "# TYPE chaosd_faults_armed gauge",
        "chaosd_faults_armed 1",
        "# TYPE chaosd_packets_affected_total counter",
        r#"chaosd_packets_affected_total{run="r-00000001",fault="lossy",direction="in"} 2"#,
        r#"chaosd_packets_tail_dropped_total{run="r-00000001",fault="lossy",direction="in"} 1"#,
        r#"chaosd_packets_overflow_total{run="r-00000001",fault="lossy",direction="in"} 0"#,
        r#"chaosd_packets_seen_total{run="r-00000001",fault="lossy",direction="out"} 0"#,
        "chaosd_watchdog_up 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    let raw = super::exchange(
        &server.path(),
        super::request("GET /metrics", "").as_bytes(),
    )
    .await;
    assert!(
        raw.contains("content-type: text/plain; version=0.0.4"),
        "{raw}"
    );
    server.stop().await;
}

#[tokio::test]
async fn dns_faults_tell_their_answers_and_the_last_names() {
    let server = Server::start("dns");
    let client = server.client();
    let request = RunRequest {
        profile: serde_json::json!({
            "version": 1,
            "faults": [{"name": "gone", "dns": "nxdomain"}, {"drop": "1%"}],
        }),
        ..drop_request()
    };
    client.start(&request).await.unwrap();
    let (_, status) = ask(&server, "GET /v1/status", "").await;
    let faults = &status["runs"][0]["faults"];
    assert_eq!(
        faults[0]["dns"],
        serde_json::json!({
            "answer": "nxdomain",
            "answered": 7,
            "tcp": 1,
            "last": [{"name": "db.internal", "type": "A", "at": "2026-01-02T03:04:05.678Z"}],
        })
    );
    assert!(faults[1].get("dns").is_none(), "{faults}");
    let text = metrics::text(&client.status().await.unwrap());
    let samples: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("chaosd_dns_answers_total"))
        .collect();
    assert_eq!(
        samples,
        [
            r#"chaosd_dns_answers_total{run="r-00000001",fault="gone",answer="nxdomain"} 7"#,
            r#"chaosd_dns_answers_total{run="r-00000001",fault="gone",answer="reset"} 1"#,
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn the_description_and_the_routes_are_the_same() {
    let server = Server::start("openapi");
    let (_, description) = ask(&server, "GET /openapi.json", "").await;
    let described = description["paths"].as_object().unwrap();
    let mut routed: Vec<_> = routes::table().into_iter().map(|(path, _)| path).collect();
    routed.sort_unstable();
    assert_eq!(described.keys().collect::<Vec<_>>(), routed);
    // The body makes each POST fail at the door: what counts is that it has one.
    for (path, methods) in described {
        let path = path.replace("{id}", "r-00000001");
        for method in ["get", "post", "put", "delete", "patch"] {
            let line = format!("{} {path}", method.to_uppercase());
            let answer =
                super::exchange(&server.path(), super::request(&line, "{").as_bytes()).await;
            let refused = answer.starts_with("HTTP/1.1 405");
            assert_eq!(refused, methods.get(method).is_none(), "{line}: {answer}");
        }
    }
    assert_eq!(
        serde_json::to_value(openapi::document()).unwrap(),
        description
    );
    server.stop().await;
}

/// Asks for a run that ends with its connection, and reads its line.
async fn tied(server: &Server) -> (UnixStream, String) {
    let body = r#"{"profile": "version: 1\nfaults: [{drop: 1%}]\n", "while-connected": true}"#;
    let mut stream = UnixStream::connect(server.path()).await.unwrap();
    let asked = request("POST /v1/runs", body);
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.contains("}\n") {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        assert!(length > 0, "{answer}");
        answer.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    (stream, answer)
}

#[tokio::test]
async fn a_run_that_is_tied_ends_with_its_connection() {
    let server = Server::start("tied");
    let client = server.client();
    let (stream, _) = tied(&server).await;
    let id = "r-00000001";
    // It lasts while we are there.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(client.report(id).await.unwrap().phase, Phase::Armed);
    drop(stream);
    let over = client.wait(id).await.unwrap();
    assert_eq!(over.ended, Some(Ended::AskerGone));
}

#[tokio::test]
async fn the_answer_of_a_run_that_is_tied_ends_with_the_run() {
    let server = Server::start("tied-over");
    let client = server.client();
    let (mut stream, _) = tied(&server).await;
    let id = "r-00000001";
    let over = client.revert(id, Ended::Reverted).await.unwrap();
    assert_eq!(over.phase, Phase::Reverted);
    assert_eq!(read(&mut stream).await, "0\r\n\r\n");
    let over = client.report(id).await.unwrap();
    assert_eq!(over.ended, Some(Ended::Reverted));
    // What is wrong with a request is told as ever.
    let wrong = RunRequest {
        profile: "version: 1".into(),
        while_connected: true,
        ..RunRequest::default()
    };
    let error = client.start(&wrong).await.unwrap_err();
    assert!(error.to_string().contains("faults"), "{error}");
    server.stop().await;
}
