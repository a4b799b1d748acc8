//! The measured before whatever else the machine does: what is lost because nobody was awake to read
//! it says nothing of chaosd.

use std::fs;

use crate::delay::table::Table;

/// Of this process, and with it of the server and the clients that it starts (sched(7)).
const NICE: &str = "-15";
/// Where the kernel shares time between sessions first, this is what counts.
const SESSION: &str = "/proc/self/autogroup";

/// Dropped, the session is what it was; the process ends with its own.
pub struct Precedence {
    session: Option<String>,
}

impl Precedence {
    /// Takes what can be had of it.
    pub fn take() -> Self {
        let us = std::process::id().to_string();
        if let Err(error) = support::run("renice", &["-n", NICE, "-p", &us]) {
            Table::progress(&format!("at ordinary priority ({error:#})"));
        }
        // `/autogroup-25 nice 0`
        let session = fs::read_to_string(SESSION)
            .ok()
            .and_then(|text| text.split_whitespace().last().map(str::to_owned))
            .filter(|_| fs::write(SESSION, NICE).is_ok());
        Self { session }
    }
}

impl Drop for Precedence {
    fn drop(&mut self) {
        if let Some(nice) = &self.session
            && let Err(error) = fs::write(SESSION, nice)
        {
            eprintln!("failed to write {SESSION}: {error}");
        }
    }
}
