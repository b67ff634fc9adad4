//! A store as one page that needs nothing from elsewhere: counts, plate maps, what batches change, what is odd.

mod batch_effect;
mod far_sites;
mod gather;
mod page;
mod wells;

pub use gather::{Gathered, gather};
pub use page::{StorePage, store_page};
