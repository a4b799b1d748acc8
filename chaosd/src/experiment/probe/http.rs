//! A GET over HTTP/1.1, on a connection of its own: what a new client would see.

use axum::http::{Method, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::net::TcpStream;

use super::{Look, Seen};
use crate::{
    http::exchange,
    profile::{Pattern, Url},
};

/// More of an answer is not read; less than that is kept.
const MOST_BYTES: usize = 4 << 20;

pub(super) async fn look(url: &Url, good: &[u16], body: Option<&Pattern>) -> Look {
    let (status, text) = get(url, &url.path).await?;
    let expected = if good.is_empty() {
        (200..300).contains(&status)
    } else {
        good.contains(&status)
    };
    if !expected {
        return Err(format!("status {status}"));
    }
    if let Some(body) = body {
        let anywhere = Pattern::new(&format!("*{body}*"));
        if !anywhere.fits(&String::from_utf8_lossy(&text)) {
            return Err(format!("the answer does not contain {body}"));
        }
    }
    Ok(Seen::Answered)
}

/// The status, and what came with it.
pub(super) async fn get(url: &Url, path: &str) -> Result<(u16, Bytes), String> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await;
    let stream = stream.map_err(|error| told(&error))?;
    let host = if url.host.contains(':') {
        format!("[{}]:{}", url.host, url.port)
    } else {
        format!("{}:{}", url.host, url.port)
    };
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, "chaosd")
        .header(header::CONNECTION, "close")
        .body(Full::default())
        .map_err(|error| told(&error))?;
    exchange(stream, request, MOST_BYTES)
        .await
        .map(|answer| (answer.status().as_u16(), answer.into_body()))
        .map_err(|error| told(&*error))
}

/// An error with its deepest cause, which is what people know.
fn told(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}
