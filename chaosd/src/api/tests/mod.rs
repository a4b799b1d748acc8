//! The API over a real unix socket, with runs that live in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

mod fake;
mod limits;
mod requests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::oneshot,
    task::JoinHandle,
};

use super::{Client, Socket, serve};
use fake::Fake;

/// A server on a socket in a directory of its own; both go with it.
struct Server {
    directory: PathBuf,
    _socket: Socket,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    fn start(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("chaosd-api-{name}-{}", std::process::id()));
        let path = directory.join("chaosd.sock");
        let (socket, listener) = Socket::bind(&path, None).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = serve(listener, Arc::new(Fake::default()), false, async {
            stopped.await.ok();
        });
        Self {
            directory,
            _socket: socket,
            stop: Some(stop),
            serving: Some(tokio::spawn(serving)),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("chaosd.sock")
    }

    fn client(&self) -> Client {
        Client::new(&self.path())
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.serving.take().unwrap().await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// Sends bytes, and reads what comes until the server closes.
async fn exchange(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    // A server that has heard enough closes while we still write.
    stream.write_all(request).await.ok();
    read(&mut stream).await
}

/// Reads until the server closes, whichever way it does.
async fn read(stream: &mut UnixStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8(answer).unwrap()
}

fn request(line: &str, body: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nhost: chaosd\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The status and the body of an answer.
fn split(answer: &str) -> (u16, serde_json::Value) {
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap())
}

async fn ask(server: &Server, line: &str, body: &str) -> (u16, serde_json::Value) {
    split(&exchange(&server.path(), request(line, body).as_bytes()).await)
}
