//! What the table is made of.

use anyhow::Result;
use support::Family;

use crate::scene::{Beside, Direction, Scene};

/// Rows that measure the same thing.
pub struct Group {
    /// What is measured.
    pub title: &'static str,
    /// In order.
    pub rows: Vec<Row>,
}

/// One fault, and how it is shown.
pub struct Row {
    /// The fault's kind, or what is done to chaosd.
    pub fault: String,
    /// Over which IP.
    pub ip: &'static str,
    /// Seen from the target.
    pub direction: &'static str,
    /// Its size, or the limit.
    pub asked: String,
    /// What this kernel lacks for it.
    pub needs: Option<&'static str>,
    show: Show,
}

type Show = Box<dyn Fn(&mut Scene) -> Result<Seen> + Send>;

/// What the peers saw.
pub struct Seen {
    /// In the unit of the group's title.
    pub measured: String,
    /// How far that is from what was asked.
    pub off: String,
    /// Whether that is near enough.
    pub holds: bool,
    /// What the peer beside it saw meanwhile.
    pub beside: Beside,
}

impl Row {
    pub fn new(
        fault: impl Into<String>,
        ip: &'static str,
        direction: &'static str,
        asked: impl Into<String>,
        show: impl Fn(&mut Scene) -> Result<Seen> + Send + 'static,
    ) -> Self {
        Self {
            fault: fault.into(),
            ip,
            direction,
            asked: asked.into(),
            needs: None,
            show: Box::new(show),
        }
    }

    /// The same, not to be shown when this kernel lacks something.
    pub fn needing(self, needs: Option<&'static str>) -> Self {
        Self { needs, ..self }
    }

    /// One row for each family and direction.
    pub fn each_way(
        fault: &str,
        asked: &str,
        show: impl Fn(&mut Scene, Family, Direction) -> Result<Seen> + Clone + Send + 'static,
    ) -> Vec<Self> {
        let mut rows = Vec::new();
        for family in Family::BOTH {
            for direction in Direction::BOTH {
                let show = show.clone();
                rows.push(Self::new(
                    fault,
                    name(family),
                    direction.word(),
                    asked,
                    move |scene| show(scene, family, direction),
                ));
            }
        }
        rows
    }

    pub fn show(&self, scene: &mut Scene) -> Result<Seen> {
        (self.show)(scene)
    }
}

/// `v4` or `v6`.
pub fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}
