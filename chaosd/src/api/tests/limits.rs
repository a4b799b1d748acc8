//! What a client cannot do to the daemon.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::UnixStream,
    time::{Instant, timeout},
};

use super::{
    Server, ask, exchange,
    fake::{SLOW, TAKES},
    read, request, split,
};
use crate::api::{
    Client, ClientError, RunRequest, Socket, SocketError,
    body::MAX_BODY_BYTES,
    server::{HEADER_WITHIN, MAX_CONNECTIONS},
};

/// Longer than any limit of the server.
const LONG: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_huge_body_is_refused_announced_or_not() {
    let server = Server::start("huge");
    let body = format!(r#"{{"profile": "{}"}}"#, "x".repeat(MAX_BODY_BYTES));
    let announced = exchange(&server.path(), request("POST /v1/runs", &body).as_bytes()).await;
    assert_eq!(split(&announced).0, 413);
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, "x".repeat(1 << 16)).repeat(17);
    let head = "POST /v1/runs HTTP/1.1\r\nhost: chaosd\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = exchange(&server.path(), format!("{head}{chunk}").as_bytes()).await;
    assert_eq!(split(&chunked).0, 413);
    assert_eq!(ask(&server, "GET /v1/runs", "").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_huge_header_is_refused() {
    let server = Server::start("header");
    let head = format!(
        "GET /v1/runs HTTP/1.1\r\nhost: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let answer = exchange(&server.path(), head.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    assert_eq!(ask(&server, "GET /v1/runs", "").await.0, 200);
    server.stop().await;
}

/// The clock is tokio's own, which leaps ahead while all wait.
#[tokio::test(start_paused = true)]
async fn a_client_that_trickles_is_dropped() {
    let server = Server::start("trickle");
    let mut header = UnixStream::connect(server.path()).await.unwrap();
    header.write_all(b"GET /v1/runs HT").await.unwrap();
    let mut idle = UnixStream::connect(server.path()).await.unwrap();
    let mut body = UnixStream::connect(server.path()).await.unwrap();
    let head = "POST /v1/runs HTTP/1.1\r\nhost: chaosd\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{";
    body.write_all(head.as_bytes()).await.unwrap();
    let all = async {
        (
            read(&mut header).await,
            read(&mut idle).await,
            read(&mut body).await,
        )
    };
    let (_, idle, body) = timeout(LONG, all).await.unwrap();
    assert_eq!(idle, "");
    assert_eq!(split(&body).0, 408);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_kept_alive_and_idle_is_dropped() {
    let server = Server::start("idle");
    let mut stream = UnixStream::connect(server.path()).await.unwrap();
    stream
        .write_all(b"GET /v1/runs HTTP/1.1\r\nhost: chaosd\r\n\r\n")
        .await
        .unwrap();
    let answer = timeout(LONG, read(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let server = Server::start("deaf");
    let (sender, mut receiver) = {
        let stream = UnixStream::connect(server.path()).await.unwrap();
        let (receiver, sender) = stream.into_split();
        (sender, receiver)
    };
    tokio::time::pause();
    // Each answer is some 15 KB: they fill the socket long before the last request is sent.
    let requests = "GET /openapi.json HTTP/1.1\r\nhost: chaosd\r\n\r\n".repeat(2000);
    let mut sender = sender;
    let gone = timeout(LONG, async {
        sender.write_all(requests.as_bytes()).await?;
        // Everything was taken: what is left is to see the server go.
        sender.writable().await?;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sender.write_all(b"\r\n").await?;
        }
    });
    let gone: Result<Result<(), std::io::Error>, _> = gone.await;
    assert!(matches!(gone, Ok(Err(_))), "{gone:?}");
    let mut rest = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut receiver, &mut rest)
        .await
        .ok();
    server.stop().await;
}

fn slow() -> RunRequest {
    RunRequest {
        profile: "version: 1\nfaults: [{drop: {rate: 10%}}]".into(),
        name: Some(SLOW.to_owned()),
        ..RunRequest::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_as_long_as_runtimes_are_given() {
    let server = Server::start("slow");
    let client = server.client();
    let since = Instant::now();
    let planned = client.plan(&slow()).await.unwrap_err();
    assert!(
        planned.to_string().contains("this host cannot"),
        "{planned}"
    );
    client.start(&slow()).await.unwrap();
    assert!(since.elapsed() >= 2 * TAKES);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_wedged_is_not_waited_for() {
    let directory = std::env::temp_dir().join(format!("chaosd-api-mute-{}", std::process::id()));
    let path = directory.join("chaosd.sock");
    // Connections get as far as its backlog.
    let (_socket, _listener) = Socket::bind(&path, None).unwrap();
    let given_up = timeout(LONG, Client::new(&path).start(&slow())).await;
    assert!(
        matches!(given_up, Ok(Err(ClientError::Silent { .. }))),
        "{given_up:?}"
    );
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_any_more_is_not_armed() {
    let server = Server::start("left");
    let client = server.client();
    let left = timeout(TAKES / 2, client.start(&slow())).await;
    assert!(left.is_err(), "{left:?}");
    tokio::time::sleep(TAKES).await;
    assert!(client.status().await.unwrap().runs.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_thousand_connections_do_not_stop_the_daemon() {
    let server = Server::start("thousand");
    // Some hold their slot and say nothing; the rest ask, and wait for their turn.
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS / 2 {
        silent.push(UnixStream::connect(server.path()).await.unwrap());
    }
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let client = server.client();
        // The one request whose answer the client awaits without a limit of its own.
        asking.spawn(async move { client.wait("unknown").await });
    }
    while let Some(answer) = asking.join_next().await {
        let answer = answer.unwrap();
        assert!(matches!(answer, Err(ClientError::Refused(_))), "{answer:?}");
    }
    drop(silent);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn silent_connections_in_every_slot_give_way() {
    let server = Server::start("slots");
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(UnixStream::connect(server.path()).await.unwrap());
    }
    let since = Instant::now();
    let answer = ask(&server, "GET /v1/runs", "").await;
    assert_eq!(answer.0, 200);
    assert!(since.elapsed() <= HEADER_WITHIN + Duration::from_secs(1));
    server.stop().await;
}

#[tokio::test]
async fn the_socket_is_roots_alone_and_goes_with_the_server() {
    let server = Server::start("mode");
    let path = server.path();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.stop().await;
    assert!(!path.exists());
    assert!(
        Client::new(&path)
            .status()
            .await
            .unwrap_err()
            .is_no_daemon()
    );
}

#[tokio::test]
async fn a_group_may_pass_but_not_list() {
    let directory = std::env::temp_dir().join(format!("chaosd-api-group-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
    let path = directory.join("chaosd.sock");
    let gid = nix::unistd::getegid().to_string();
    let (socket, _listener) = Socket::bind(&path, Some(&gid)).unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert!(socket.has_group());
    assert_eq!(mode(&path), 0o660);
    assert_eq!(mode(&directory), 0o710);
    drop(socket);
    std::fs::remove_dir_all(&directory).unwrap();
    let nobody = Socket::bind(&path, Some("no-such-group")).unwrap_err();
    assert!(matches!(nobody, SocketError::NoSuchGroup(_)), "{nobody}");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_or_foreign_one_is_not() {
    let server = Server::start("stale");
    let live = Socket::bind(&server.path(), None).unwrap_err();
    assert!(matches!(live, SocketError::InUse(_)), "{live}");
    let foreign = server.directory.join("foreign");
    std::fs::write(&foreign, "mine").unwrap();
    let refused = Socket::bind(&foreign, None).unwrap_err();
    assert!(matches!(refused, SocketError::NotASocket(_)), "{refused}");
    assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "mine");
    let stale = server.directory.join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    let (_socket, _listener) = Socket::bind(&stale, None).unwrap();
    assert!(std::os::unix::net::UnixStream::connect(&stale).is_ok());
    server.stop().await;
}
