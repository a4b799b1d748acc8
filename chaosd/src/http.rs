//! One request over HTTP/1.1, on a connection of its own.

use std::{fmt::Write as _, path::Path};

use axum::http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};

/// How an exchange failed.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Sends a request, and reads the whole answer; an answer of more than `most` bytes is an
/// error.
pub(crate) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Response<Bytes>, Failed> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, most).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    // The connection must be driven while the answer is read; it goes with this future.
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        driven = connection => match driven {
            Err(error) => Err(error.into()),
            // All has been read: what came of it is there.
            Ok(()) => answer.await,
        },
    }
}

/// Asks whoever serves at a socket of this host.
pub(crate) async fn get(
    socket: &Path,
    address: &str,
    most: usize,
) -> Result<Response<Bytes>, Failed> {
    let request = Request::get(address)
        .header(header::HOST, "localhost")
        .header(header::CONNECTION, "close")
        .body(Full::default())?;
    exchange(UnixStream::connect(socket).await?, request, most).await
}

/// As a part of an address: all but what RFC 3986 (§2.3) reserves for nothing.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // A string takes everything.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn whatever_parts_an_address_is_escaped() {
        assert_eq!(escaped("shop-db_1.a~"), "shop-db_1.a~");
        assert_eq!(escaped("a/b?c=ä"), "a%2Fb%3Fc%3D%C3%A4");
    }
}
