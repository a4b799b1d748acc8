//! An API at a socket of a test's own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    convert::Infallible,
    fs,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::Arc,
    thread,
};

use axum::http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Body, Bytes, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{Places, RuntimeKind};

/// Ends with the test's process.
pub(super) struct Fake {
    kind: RuntimeKind,
    pub(super) path: PathBuf,
}

impl Fake {
    /// `answer` says the status line and the body to the address of a GET.
    pub(super) fn start(
        kind: RuntimeKind,
        name: &str,
        answer: impl Fn(&str) -> (&'static str, String) + Send + Sync + 'static,
    ) -> Self {
        let (fake, listener) = Self::bind(kind, name);
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                thread::spawn(move || exchange(stream, &*answer));
            }
        });
        fake
    }

    /// Speaks gRPC: `answer` says the message to that of a method, in a namespace of containerd's. `None`: it
    /// does not know the method.
    pub(super) fn grpc(
        kind: RuntimeKind,
        name: &str,
        answer: impl Fn(&str, &str, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let (fake, listener) = Self::bind(kind, name);
        listener.set_nonblocking(true).unwrap();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let answer = Arc::clone(&answer);
                    let serve = service_fn(move |request| reply(request, Arc::clone(&answer)));
                    let connection = http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), serve);
                    drop(tokio::spawn(connection));
                }
            });
        });
        fake
    }

    /// Takes connections and says nothing.
    pub(super) fn mute(kind: RuntimeKind, name: &str) -> Self {
        let (fake, listener) = Self::bind(kind, name);
        thread::spawn(move || {
            let kept: Vec<_> = listener.incoming().flatten().collect();
            drop(kept);
        });
        fake
    }

    fn bind(kind: RuntimeKind, name: &str) -> (Self, UnixListener) {
        let file = format!("chaosd-{kind}-{}-{name}.sock", std::process::id());
        let path = std::env::temp_dir().join(file);
        let listener = UnixListener::bind(&path).unwrap();
        (Self { kind, path }, listener)
    }

    pub(super) fn places(&self) -> Places {
        Places {
            sockets: vec![(self.kind, self.path.clone())],
            ..Places::default()
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        fs::remove_file(&self.path).unwrap();
    }
}

async fn reply(
    request: Request<Incoming>,
    answer: Arc<impl Fn(&str, &str, &[u8]) -> Option<Vec<u8>>>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let method = request.uri().path().to_owned();
    let namespace = request.headers().get("containerd-namespace").cloned();
    let namespace = namespace.as_ref().map_or("", |name| name.to_str().unwrap());
    let asked = request.into_body().collect().await.unwrap().to_bytes();
    // Before each message a byte of flags and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
    let (status, body) = match answer(&method, namespace, &asked[5..]) {
        Some(message) => {
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            ("0", [&[0], &length[..], &message].concat())
        }
        None => ("12", Vec::new()),
    };
    let trailers = HeaderMap::from_iter([(
        "grpc-status".parse().unwrap(),
        HeaderValue::from_static(status),
    )]);
    let body = Full::new(Bytes::from(body)).with_trailers(async { Some(Ok(trailers)) });
    let answer = Response::builder().header("content-type", "application/grpc");
    Ok(answer.body(body).unwrap())
}

fn exchange(mut stream: UnixStream, answer: &dyn Fn(&str) -> (&'static str, String)) {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => request.extend(&chunk[..n]),
            _ => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let (status, body) = answer(request.split(' ').nth(1).unwrap());
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).ok();
}
