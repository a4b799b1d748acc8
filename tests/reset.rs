//! TCP connections end with a RST at the ends asked, new ones and established ones, whoever
//! speaks.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;
use support::{Daemon, Family, Lab, Node, Options, Run, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);
/// An end that is to hear nothing has heard nothing by then.
const QUIET: Duration = Duration::from_millis(400);

fn listen(node: &Node, other: &Node, family: Family) -> Result<TcpListener> {
    let address = SocketAddr::new(node.address_facing(other, family)?, 0);
    Ok(node.enter(|| TcpListener::bind(address))??)
}

/// An established connection: the target's end, the peer's end.
fn connection(lab: &Lab, family: Family) -> Result<[TcpStream; 2]> {
    let listener = listen(lab.peer(), lab.target(), family)?;
    let address = listener.local_addr()?;
    let ours = lab
        .target()
        .enter(|| TcpStream::connect_timeout(&address, PATIENCE))??;
    let theirs = listener.accept()?.0;
    for end in [&ours, &theirs] {
        end.set_read_timeout(Some(Duration::from_millis(5)))?;
    }
    Ok([ours, theirs])
}

fn is_reset(mut end: &TcpStream) -> bool {
    matches!(end.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn an_established_connection_is_reset_at_the_ends_asked() -> Result<()> {
    let lab = Lab::new("reset")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        // Whoever of the two speaks first meets the fault.
        for speaker in [0, 1] {
            for (to, reset) in [
                ("local", [true, false]),
                ("remote", [false, true]),
                ("both", [true, true]),
            ] {
                let what = format!("{family:?}, to {to}, end {speaker} speaks");
                let ends = connection(&lab, family)?;
                let run = Run::inject(&daemon, lab.target(), &format!("reset --to {to}"))?;
                (&ends[speaker]).write_all(b"hello")?;
                for (end, reset) in ends.iter().zip(reset) {
                    let limit = if reset { PATIENCE } else { QUIET };
                    assert_eq!(wait_until(limit, || is_reset(end)), reset, "{what}");
                }
                let told = run.revert()?;
                assert_eq!(told.word("/faults/0/verdict"), "effective", "{what}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_new_connection_is_refused_at_once_to_the_end_that_asks() -> Result<()> {
    let lab = Lab::new("refuse")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        for (from, to, ends, silent) in [
            (lab.target(), lab.peer(), ["local", "both"], "remote"),
            (lab.peer(), lab.target(), ["remote", "both"], "local"),
        ] {
            let listener = listen(to, from, family)?;
            let address = listener.local_addr()?;
            listener.set_nonblocking(true)?;
            let connect = |limit| from.enter(|| TcpStream::connect_timeout(&address, limit));
            for end in ends {
                let flags = format!("reset --flags syn --to {end}");
                let run = Run::inject(&daemon, lab.target(), &flags)?;
                let refused = connect(PATIENCE)?.map(|_| ()).map_err(|error| error.kind());
                assert_eq!(
                    refused,
                    Err(ErrorKind::ConnectionRefused),
                    "{family:?} {end}"
                );
                let accepted = listener.accept().map(|_| ()).map_err(|error| error.kind());
                assert_eq!(accepted, Err(ErrorKind::WouldBlock), "{family:?} {end}");
                drop(run.revert()?);
            }
            // The other end knows of no connection yet that could be reset.
            let flags = format!("reset --flags syn --to {silent}");
            let run = Run::inject(&daemon, lab.target(), &flags)?;
            let refused = connect(QUIET)?.map(|_| ()).map_err(|error| error.kind());
            assert_eq!(refused, Err(ErrorKind::TimedOut), "{family:?} {silent}");
            drop(run.revert()?);
            drop(connect(PATIENCE)??);
        }
    }
    Ok(())
}

#[test]
fn a_fault_of_new_connections_leaves_established_ones_alone() -> Result<()> {
    let lab = Lab::new("reset-new")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        let [mut ours, theirs] = connection(&lab, family)?;
        let run = Run::inject(&daemon, lab.target(), "reset --flags syn")?;
        ours.write_all(b"hello")?;
        let mut heard = [0; 5];
        assert!(wait_until(PATIENCE, || (&theirs)
            .read_exact(&mut heard)
            .is_ok()));
        assert_eq!(&heard, b"hello", "{family:?}");
        drop(run.revert()?);
    }
    Ok(())
}
