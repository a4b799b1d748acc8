//! What a guest gets: memory, processors, disk, time, and a first process.

use std::time::Duration;

/// The size of a guest, as the verbs take it.
#[derive(clap::Args, Clone, Debug)]
pub struct Size {
    /// The guest's memory, of which the machine gives what is used; 3/4 of it hold what it writes to files
    #[arg(long, value_name = "SIZE", default_value = "5G", value_parser = mib)]
    pub memory: u64,
    /// The guest's processors
    #[arg(long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u8).range(1..))]
    pub cpus: u8,
    /// The size of the scratch disk, /dev/vda; it takes room only as it is written
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = mib)]
    pub disk: u64,
    /// Seconds after which the guest is ended
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    pub timeout: Duration,
    /// Boot systemd as the first process, as on a real host; the command is one of its services
    #[arg(long)]
    pub systemd: bool,
}

/// A size in MiB from a number with the unit M or G.
fn mib(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; give a number with M or G, such as 512M or 2G");
    let (number, factor) = match text.strip_suffix(['M', 'm']) {
        Some(number) => (number, 1),
        None => (text.strip_suffix(['G', 'g']).ok_or_else(wrong)?, 1024),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|mib| (1..=1 << 30).contains(mib))
        .ok_or_else(wrong)
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.trim_end_matches('s').parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is no number of seconds above 0")),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::mib;

    #[test]
    fn a_size_has_a_unit() {
        assert_eq!(mib("512M"), Ok(512));
        assert_eq!(mib("2G"), Ok(2048));
        for wrong in ["", "2", "0G", "G", "-1G", "99999999999999999999G", "2T"] {
            assert!(mib(wrong).is_err(), "{wrong}");
        }
    }
}
