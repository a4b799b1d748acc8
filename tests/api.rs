//! The API of a real daemon under clients who mean no good: each gets an answer or is cut off, and
//! the daemon lives and goes on answering.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use support::{Daemon, Options, wait_until};

use crate::scene::{Fault, LONG, Scene};

/// A client that says nothing is cut off by then.
const CUT_OFF: Duration = Duration::from_secs(15);

#[test]
fn nonsense_is_answered_with_the_client_s_fault_and_changes_nothing() -> Result<()> {
    let daemon = Daemon::start(&Options::default())?;
    let huge = "a".repeat(4 << 20);
    let deep = "[".repeat(100_000);
    let cases: [(&str, &str, &str); 14] = [
        ("POST", "/v1/runs", "{"),
        ("POST", "/v1/runs", ""),
        ("POST", "/v1/runs", "null"),
        ("POST", "/v1/runs", "\u{0}\u{1}\u{2}"),
        ("POST", "/v1/runs", "{\"profile\": 7}"),
        ("POST", "/v1/runs", "{\"profile\": {}}"),
        ("POST", "/v1/runs", "{\"profile\": {}, \"profil\": 1}"),
        ("POST", "/v1/runs", &deep),
        ("POST", "/v1/runs", &huge),
        (
            "POST",
            "/v1/plan",
            "{\"profile\": {\"faults\": [{\"drop\": {\"rate\": \"NaN%\"}}]}}",
        ),
        ("GET", "/v1/runs/../../etc/passwd", ""),
        ("DELETE", "/v1/runs/r-00000000", ""),
        ("PATCH", "/v1/runs", ""),
        ("GET", "/nowhere", ""),
    ];
    for (method, path, body) in cases {
        let status = status_of(&request(&daemon.socket(), method, path, body)?);
        let shown: String = body.chars().take(40).collect();
        ensure!(
            (400..500).contains(&status),
            "{method} {path} {shown:?}: {status}\n{}",
            daemon.log()
        );
    }
    for raw in [
        &b"\r\n\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"\xff\xfe\x00\x00\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = connect(&daemon.socket())?;
        stream.write_all(raw)?;
        let answer = read_all(&mut stream);
        ensure!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{raw:?}: {answer}"
        );
    }
    let status = daemon.cli(["status", "-o", "json"])?.json()?;
    ensure!(
        status["runs"].as_array().is_some_and(Vec::is_empty),
        "{status}"
    );
    Ok(())
}

#[test]
fn a_thousand_silent_connections_are_borne_and_the_fault_stays_in_force() -> Result<()> {
    let scene = Scene::new("thousand", Fault::Drop)?;
    let daemon = scene.daemon()?;
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        // Once the backlog is full, the next ones wait outside.
        let socket = nonblocking(&daemon.socket())?;
        silent.extend(socket);
    }
    println!("{} connections stand", silent.len());
    ensure!(silent.len() >= 100, "only {} were let in", silent.len());
    ensure!(
        scene.stream.suffers(LONG),
        "the fault has gone: {}",
        daemon.log()
    );
    // They are cut off in time, even though they keep their ends open, and others get through.
    let since = Instant::now();
    let answers = wait_until(CUT_OFF * 12, || {
        request(&daemon.socket(), "GET", "/v1/runs", "").is_ok_and(|a| status_of(&a) == 200)
    });
    println!("answered after {:?}", since.elapsed());
    ensure!(answers, "no answer: {}", daemon.log());
    drop(silent);
    scene.assert_clean_after_revert(&daemon)
}

#[test]
fn a_client_that_trickles_or_stops_half_way_is_cut_off() -> Result<()> {
    let daemon = Daemon::start(&Options::default())?;
    // A byte every half second never makes a header.
    let mut trickle = connect(&daemon.socket())?;
    let since = Instant::now();
    let cut = wait_until(CUT_OFF * 2, || {
        std::thread::sleep(Duration::from_millis(500));
        trickle.write_all(b"G").is_err()
    });
    ensure!(
        cut,
        "a trickling client is served after {:?}",
        since.elapsed()
    );
    // Half a body, and no more.
    let mut half = connect(&daemon.socket())?;
    half.write_all(b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")?;
    let since = Instant::now();
    half.set_read_timeout(Some(Duration::from_mins(1)))?;
    let answer = read_all(&mut half);
    ensure!(
        answer.is_empty() || (400..600).contains(&status_of(&answer)),
        "after {:?}: {answer}",
        since.elapsed()
    );
    ensure!(
        since.elapsed() < Duration::from_secs(55),
        "half a body was waited for"
    );
    ensure!(status_of(&request(&daemon.socket(), "GET", "/metrics", "")?) == 200);
    Ok(())
}

#[test]
fn twenty_runs_asked_for_at_once_are_twenty_runs_and_one_revert_ends_them_all() -> Result<()> {
    let scene = Scene::new("twenty", Fault::Drop)?;
    let daemon = Daemon::start(&Options::default())?;
    let netns = scene.lab.target().netns();
    let statuses: Vec<Result<u16>> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..20)
            .map(|n| {
                let port = scene.stream.port();
                let body = format!(
                    r#"{{"profile": {{"version": 1, "for": "60s", "target": {{"netns": "{netns}"}},
                    "faults": [{{"drop": {{"rate": "{}%"}}, "match": {{"ports": [{port}]}}}}]}}}}"#,
                    n + 1
                );
                let socket = daemon.socket();
                scope.spawn(move || Ok(status_of(&request(&socket, "POST", "/v1/runs", &body)?)))
            })
            .collect();
        asking
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    for status in statuses {
        let status = status?;
        ensure!(status == 201, "{status}\n{}", daemon.log());
    }
    let status = daemon.cli(["status", "-o", "json"])?.json()?;
    let runs = status["runs"].as_array().context("no runs")?;
    let ids: std::collections::BTreeSet<_> = runs.iter().filter_map(|r| r["id"].as_str()).collect();
    ensure!(
        ids.len() == 20 && runs.iter().all(|r| r["phase"] == "armed"),
        "{status}"
    );
    ensure!(scene.stream.suffers(LONG), "twenty faults and no loss");
    let answer = request(&daemon.socket(), "DELETE", "/v1/runs", "")?;
    ensure!(status_of(&answer) == 200, "{answer}");
    scene.assert_clean_after_revert(&daemon)
}

fn connect(socket: &Path) -> Result<UnixStream> {
    let stream = UnixStream::connect(socket).context("failed to connect")?;
    stream.set_read_timeout(Some(LONG))?;
    stream.set_write_timeout(Some(LONG))?;
    Ok(stream)
}

/// None: the backlog is full.
fn nonblocking(socket: &Path) -> Result<Option<std::os::fd::OwnedFd>> {
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket as make};
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = make(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(fd.as_raw_fd(), &UnixAddr::new(socket)?) {
        Ok(()) => Ok(Some(fd)),
        Err(nix::errno::Errno::EAGAIN) => Ok(None),
        Err(error) => Err(error).context("failed to connect"),
    }
}

/// What the daemon answers, head and body.
pub fn request(socket: &Path, method: &str, path: &str, body: &str) -> Result<String> {
    let mut stream = connect(socket)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: chaosd\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    match stream.write_all(body.as_bytes()) {
        Ok(()) => {}
        // A body that is too big is refused before it is all there.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ) => {}
        Err(error) => return Err(error).context("failed to send the body"),
    }
    Ok(read_all(&mut stream))
}

/// What came before the connection was closed or had nothing more to say.
fn read_all(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer takes nothing from it.
    let _reset = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The status of an answer; 0 when there is none.
fn status_of(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}
