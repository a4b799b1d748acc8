//! Burning a disk: so many bytes a second are read from it or written to it, block by block, in a file
//! without a name, of which nothing is left when the burner dies.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::{
    Progress,
    clock::{cpu_ns, now_ns},
    demand::{Demand, float},
    process::Line,
    work::SPAN,
};

/// What a disk wants its buffers and offsets to be multiples of, at most (`open(2)`, `O_DIRECT`).
const ALIGNED: usize = 4096;
/// It does not make up for more than it missed in this time.
const PATIENCE_S: f64 = 1.0;
/// Between two looks at orders, at most; timers of poll(2) are no finer than its end.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// A stream of reads or of writes.
pub(super) struct Stream {
    file: File,
    write: bool,
    direct: bool,
    block: usize,
    bytes_per_second: f64,
    /// The block is in it from here on.
    buffer: Vec<u8>,
    at: usize,
    dice: u64,
    /// Written, and perhaps in the page cache alone.
    dirty: bool,
}

impl Stream {
    /// Fails with what could not be done. What is read has to be written first.
    pub(super) fn new(
        directory: &Path,
        write: bool,
        direct: bool,
        block: u32,
        bytes_per_second: u64,
    ) -> Result<Self, String> {
        let failed = |what: &str| {
            let what = format!("{what} in {}", directory.display());
            move |error: io::Error| format!("{what}: {error}")
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).mode(0o600);
        let flags = libc::O_TMPFILE | if direct { libc::O_DIRECT } else { 0 };
        let open = options.custom_flags(flags).open(directory);
        let what = if direct {
            "open a file without a name and page cache (direct: false does with it)"
        } else {
            "open a file without a name"
        };
        let file = open.map_err(failed(what))?;
        let block = usize::try_from(block).map_err(|error| error.to_string())?;
        let mut buffer = vec![0; block + ALIGNED];
        let at = buffer.as_ptr().align_offset(ALIGNED).min(ALIGNED);
        let mut dice = 0x9e37_79b9_7f4a_7c15;
        // Nothing that a file system would compress.
        for byte in &mut buffer {
            *byte = next(&mut dice).to_le_bytes()[7];
        }
        let mut stream = Self {
            file,
            write,
            direct,
            block,
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            bytes_per_second: bytes_per_second as f64,
            buffer,
            at,
            dice,
            dirty: false,
        };
        if !write {
            stream.fill().map_err(failed("write what is to be read"))?;
        }
        Ok(stream)
    }

    fn blocks(&self) -> u64 {
        SPAN / self.block as u64
    }

    fn fill(&mut self) -> io::Result<()> {
        for number in 0..self.blocks() {
            let block = &self.buffer[self.at..self.at + self.block];
            self.file.write_all_at(block, number * self.block as u64)?;
        }
        self.file.sync_data()
    }

    /// Reads or writes what is wanted until the parent is gone, or the disk fails.
    pub(super) fn flow(mut self, line: &Line) -> io::Result<()> {
        let mut demand = Demand::new(now_ns());
        let cpu_before = cpu_ns();
        let (mut done, mut given_up) = (0.0, 0.0);
        while line.hear() {
            let (order, now) = (line.page.ordered(), now_ns());
            demand.advance(now, order);
            let asked = demand.asked_ns() / 1e9 * self.bytes_per_second;
            let missing = asked - done - given_up;
            given_up += (missing - self.bytes_per_second * PATIENCE_S).max(0.0);
            line.page.publish(Progress {
                at_work: Duration::from_nanos(demand.at_work_ns()),
                cpu_used: Duration::from_nanos(cpu_ns().saturating_sub(cpu_before)),
                bytes_asked: whole(asked),
                bytes_held: whole(done),
                ..Progress::default()
            });
            let block = float(self.block as u64);
            if missing >= block {
                self.turn()?;
                done += block;
                continue;
            }
            let wants = order.wants(now);
            if wants > 0.0 {
                self.settle()?;
                let due = (block - missing) / (self.bytes_per_second * wants);
                let due = due.clamp(PAUSE.0.as_secs_f64(), PAUSE.1.as_secs_f64());
                line.wait(Some(Duration::from_secs_f64(due)));
            } else {
                self.settle()?;
                line.wait(None);
            }
        }
        Ok(())
    }

    /// One block, anywhere in the file.
    fn turn(&mut self) -> io::Result<()> {
        let number = next(&mut self.dice) % self.blocks();
        let offset = number * self.block as u64;
        let block = &mut self.buffer[self.at..self.at + self.block];
        if self.write {
            self.dirty = !self.direct;
            return self.file.write_all_at(block, offset);
        }
        if !self.direct {
            let signed = |n: u64| libc::off_t::try_from(n).map_err(io::Error::other);
            let (from, length) = (signed(offset)?, signed(self.block as u64)?);
            // Or it would come from memory.
            let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
            posix_fadvise(&self.file, from, length, advice)?;
        }
        self.file.read_exact_at(block, offset)
    }

    /// What is written goes to the disk.
    fn settle(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of bytes, which is never negative"
)]
fn whole(bytes: f64) -> u64 {
    bytes as u64
}

/// A step of xorshift64.
fn next(dice: &mut u64) -> u64 {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice
}
