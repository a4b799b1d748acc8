//! An API at a socket of a test's own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::Arc,
    thread,
};

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
