//! What `train` shows on a terminal while it trains, below the lines of its log.

mod area;
mod curve;
mod view;

pub(super) use area::Area;
pub(super) use view::View;
