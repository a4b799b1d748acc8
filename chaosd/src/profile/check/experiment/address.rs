//! Where probes look: URLs, hosts with a port, name servers.

use std::net::{IpAddr, SocketAddr};

use hyper::Uri;

use crate::profile::{
    Address, Url,
    problem::{Found, Mistake, quote},
    tree::Node,
};

const DNS_PORT: u16 = 53;

impl Found {
    pub(super) fn url(&mut self, node: &Node) -> Option<Url> {
        let text = self.text(node)?.trim();
        self.keep(&node.at, url(text))
    }

    pub(super) fn address(&mut self, node: &Node) -> Option<Address> {
        let text = self.text(node)?.trim();
        self.keep(&node.at, address(text))
    }

    pub(super) fn server(&mut self, node: &Node) -> Option<SocketAddr> {
        let text = self.text(node)?.trim();
        let whole = text.parse::<SocketAddr>().ok();
        let bare = text.parse::<IpAddr>().ok();
        let server = whole.or_else(|| Some(SocketAddr::new(bare?, DNS_PORT)));
        if server.is_none() {
            let what = format!(
                "{} is not the address of a name server, such as 10.0.0.53",
                quote(text)
            );
            self.say(&node.at, what);
        }
        server
    }
}

fn url(text: &str) -> Result<Url, Mistake> {
    let bad = |why: &str| Mistake::new(format!("{} is not a URL{why}", quote(text)));
    if !text.contains("://") {
        return Err(bad(" with a scheme").instead(format!("http://{text}")));
    }
    let uri: Uri = text
        .parse()
        .map_err(|_| bad(", such as http://shop.local/health"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            let what = format!(
                "{}: probes speak plain http; let a command speak TLS, as in `command: \"curl -fsS {text}\"`",
                quote(text)
            );
            return Err(Mistake::new(what));
        }
        _ => return Err(bad(" of http")),
    }
    let authority = uri.authority().ok_or_else(|| bad(": it has no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad(" without a password: none is sent"));
    }
    let host = uri
        .host()
        .filter(|host| !host.is_empty())
        .ok_or_else(|| bad(": it has no host"))?;
    let port = uri.port_u16().unwrap_or(80);
    if port == 0 {
        return Err(bad(": 0 is no port"));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(Url {
        host: bare(host).to_owned(),
        port,
        path: if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        },
        text: text.to_owned(),
    })
}

fn address(text: &str) -> Result<Address, Mistake> {
    let bad = |why: &str| {
        Mistake::new(format!(
            "{} is not a host with a port{why}, such as db.internal:5432",
            quote(text)
        ))
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(|| bad(""))?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        return Err(bad(": an IPv6 address needs brackets"));
    }
    let host = bare(host);
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(bad(""));
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(Address {
            host: host.to_owned(),
            port,
        }),
        _ => Err(bad(&format!(": {} is no port", quote(port)))),
    }
}

fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or(host)
}
