//! Waiting for a condition instead of sleeping and hoping.

use std::time::{Duration, Instant};

/// How often the condition is looked at.
const STEP: Duration = Duration::from_millis(5);

/// Whether `condition` came true within `limit`. It is asked once more when time is up.
#[must_use]
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if condition() {
            return true;
        }
        std::thread::sleep(STEP);
    }
    condition()
}
