//! The tables that jitter is drawn from: the built-in ones are written when a fault first wants
//! them, a fault's own has a place as long as the fault.

use std::collections::{BTreeMap, BTreeSet};

use chaosd_ebpf::{FIRST_CUSTOM, Hold, MAX_TABLES, NORMAL, PROBABILITY, TABLE_LEN, UNIFORM};

use super::{Object, PlaneError, map_error};
use crate::{fault::distribution, sys::bpf as pod};

/// What stands in the tables.
#[derive(Debug, Default)]
pub(super) struct Quantiles {
    built_in: BTreeSet<u32>,
    /// Fault -> place.
    own: BTreeMap<u8, u32>,
}

impl Quantiles {
    /// Writes what the jitter of fault `n` is drawn from, and its number into `hold`.
    pub fn provide(
        &mut self,
        object: &mut Object,
        n: u8,
        hold: &mut Hold,
        own: Option<&[i32; TABLE_LEN]>,
    ) -> Result<(), PlaneError> {
        if hold.jitter_ns == 0 {
            return Ok(());
        }
        let mut wanted = vec![hold.table];
        if hold.correlation != 0 {
            wanted.extend([NORMAL, PROBABILITY]);
        }
        for table in wanted {
            if table != UNIFORM && self.built_in.contains(&table) {
                continue;
            }
            if let Some(quantiles) = distribution::built_in(table) {
                write(object, table, &quantiles)?;
                self.built_in.insert(table);
            }
        }
        if let Some(quantiles) = own {
            let place = (FIRST_CUSTOM..MAX_TABLES)
                .find(|place| !self.own.values().any(|used| used == place))
                .ok_or(PlaneError::Full {
                    what: "distributions",
                    max: (MAX_TABLES - FIRST_CUSTOM) as usize,
                })?;
            write(object, place, quantiles)?;
            self.own.insert(n, place);
            hold.table = place;
        }
        Ok(())
    }

    /// Gives the place of a fault's own table back.
    pub fn forget(&mut self, n: u8) {
        self.own.remove(&n);
    }
}

fn write(object: &mut Object, place: u32, quantiles: &[i32; TABLE_LEN]) -> Result<(), PlaneError> {
    object
        .quantiles
        .set(place, pod::Quantiles(*quantiles), 0)
        .map_err(map_error("TABLES"))
}
