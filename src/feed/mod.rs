//! Sites in batches, in an order that is a pure function of seed and epoch, read ahead by named threads into buffers
//! that the caller lends. Decodes no image and knows no libtorch.
//!
//! ```no_run
//! use cellshard::feed::{Feed, Io, Permutation, Reader, Verify};
//! use cellshard::store::Store;
//!
//! let reader = Reader::new(Store::open("shards".as_ref())?, Io::Mmap, Verify::First);
//! let (n, bytes) = (reader.store().sites().len(), reader.site_bytes());
//! let order = Permutation::new(n, 42, 0);
//! let mut positions = 0..n;
//! let next = move |sites: &mut Vec<usize>| sites.extend(positions.by_ref().take(64).map(|i| order.at(i)));
//! let feed = Feed::start(&reader.into(), vec![vec![0_u8; 64 * bytes]; 3], 2, next)?;
//! while let Some(mut batch) = feed.next_batch()? {
//!     if let Some((_, damaged)) = batch.faults.pop() {
//!         return Err(damaged); // It names shard and site.
//!     }
//!     // batch.pixels[..batch.sites.len() * bytes] is [N, C, H, W]
//!     feed.give_back(batch);
//! }
//! # Ok::<(), cellshard::Error>(())
//! ```

mod batch;
mod epoch_order;
mod grouped;
mod order;
mod prefetch;
mod reader;
mod ring;
mod shards;
mod slots;

pub use batch::{Batch, Next};
pub use epoch_order::{EpochOrder, OrderConfig};
pub use grouped::Groups;
pub use order::{Permutation, mix};
pub use prefetch::Feed;
pub use reader::{Io, Reader, Verify};
